"""A7: whatever arrives, the parsers answer with a value that holds or the error they promise; never anything else.

`S3DLIO_FUZZ_EXAMPLES` asks for more examples than the few of an ordinary run.
"""

import http.client
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from hypothesis import given, settings
from hypothesis import strategies as st

from s3dlio import uri as uris
from s3dlio.errors import IntegrityError, InvalidUriError, NetworkError, S3dlioError
from s3dlio.http.wire import Exchange, Head, Origin
from s3dlio.stores import xml
from s3dlio.stores.ranged import RangeRead
from s3dlio.stores.s3errors import translate
from s3dlio.uri import Uri
from tests.core.http.test_wire import by_the_standard_library, feed

EXAMPLES = int(os.environ.get("S3DLIO_FUZZ_EXAMPLES", "300"))
ORIGIN = Origin("http", "127.0.0.1", 80)
WHERE = Uri("s3", "bucket", "key")
much = settings(max_examples=EXAMPLES, deadline=None)

# Pieces that a mutation puts together: more of them are nearly right than of random bytes.
_HEAD_PIECES = (
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 206 x",
    b"HTTP/1.1 99 x",
    b"Content-Length: 5",
    b"content-length:5 ",
    b"Content-Length: 05",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: identity",
    b"Connection: close",
    b'ETag: "x"',
    b" folded",
    b"X : y",
    b": y",
    b"\x00: y",
    b"X: \xff",
    b"hello",
    b"5\r\nhello\r\n0",
    b"",
    b"\r",
    b"\n",
)


@much
@given(
    pieces=st.lists(st.sampled_from(_HEAD_PIECES), min_size=1, max_size=9),
    ends=st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""]), min_size=9, max_size=9),
    cuts=st.lists(st.integers(1, 50), min_size=1, max_size=4),
)
def test_A7_S15_a_head_is_read_as_the_standard_library_does_or_refused(
    pieces: list[bytes], ends: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(piece + end for piece, end in zip(pieces, ends, strict=False)) + b"\r\n\r\nhello"
    try:
        exchange, body = feed(data, cuts, collects=True)
    except (NetworkError, IntegrityError):
        return
    assert exchange.head is not None
    status, fields, expected = by_the_standard_library(data)
    assert (exchange.head.status, body) == (status, expected)
    assert set(exchange.head.fields) == set(fields)


@much
@given(
    data=st.lists(st.sampled_from([b"5", b"\r\n", b"hello", b"0", b";x=y", b"-1", b"A", b"\n", b" ", b"g", b"\r"])),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_A7_a_chunked_body_is_read_as_the_standard_library_does_or_refused(data: list[bytes], cuts: list[int]) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(data)
    try:
        _, body = feed(whole, cuts, collects=True)
    except (NetworkError, IntegrityError):
        return
    with suppress(http.client.HTTPException, ValueError):
        assert body == by_the_standard_library(whole)[2]


class _Silent:
    """A service that is not asked anything."""

    hashes = False

    def request(self, *args: object, **kwargs: object) -> tuple[Origin, bytes]:
        return ORIGIN, b""

    def error(self, exchange: Exchange, uri: Uri) -> S3dlioError:
        return translate(exchange, uri)


def _leased(size: int, length: int) -> memoryview:
    return memoryview(bytearray(length))


_numbers = st.sampled_from(["0", "1", "9", "10", "99", "100", "101", "-1", "", "x", "00", "1e1", "9" * 19, "*"])


@much
@given(start=_numbers, end=_numbers, size=_numbers, unit=st.sampled_from(["bytes ", "bytes", "items ", "", "BYTES "]))
def test_A7_D14_no_content_range_but_the_right_one_is_accepted(start: str, end: str, size: str, unit: str) -> None:
    read = RangeRead(_Silent(), WHERE, 10, 90, _leased, pin=None, to_end=False, verify=False)
    text = f"{unit}{start}-{end}/{size}"
    head = Head(206, {"content-range": text, "etag": '"x"'})
    try:
        place = read.begin(head, None if not end.isdigit() else 90)
    except S3dlioError:
        assert text != "bytes 10-99/100"
        return
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text)
    assert match is not None
    assert (int(match[1]), int(match[2]) + 1) == (10, min(100, int(match[3])))
    assert place is None or len(place) == 90


def answer(status: int, fields: dict[str, str], body: bytes) -> Exchange:
    exchange = Exchange(ORIGIN, b"", _Nobody())
    exchange.head = Head(status, fields)
    exchange.body = body
    return exchange


class _Nobody:
    def begin(self, head: Head, length: int | None) -> memoryview | None:
        return None


_moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: format_datetime(moment, usegmt=True)
)


@much
@given(
    text=st.text(max_size=40) | _moments | st.integers(-(10**30), 10**30).map(str) | st.floats().map(str),
    name=st.sampled_from(["retry-after", "x-amz-retry-after"]),
    status=st.sampled_from([429, 503, 500]),
)
def test_A7_a_wait_that_is_asked_for_is_a_number_or_none(text: str, name: str, status: int) -> None:
    error = translate(answer(status, {name: text}, b""), WHERE)
    wait = getattr(error, "retry_after", None)
    assert wait is None or isinstance(wait, int | float)
    assert wait is None or wait == wait


@much
@given(seconds=st.integers(0, 10**6))
def test_A7_a_wait_in_seconds_is_that_wait(seconds: int) -> None:
    assert getattr(translate(answer(503, {"retry-after": str(seconds)}, b""), WHERE), "retry_after") == seconds  # noqa: B009
    date = format_datetime(datetime.fromtimestamp(time.time() + seconds, UTC), usegmt=True)
    wait = getattr(translate(answer(503, {"retry-after": date}, b""), WHERE), "retry_after")  # noqa: B009
    assert abs(wait - seconds) < 60


_TAGS = "ListBucketResult Contents Key Size IsTruncated Error Code CommonPrefixes DeleteResult UploadId"
_ODD = "true false key 7 &amp; &#1; &x; <!-- --> <![CDATA[ ]]> <?xml?> % %zz <!DOCTYPE ]> <Prefix/>"
_MARKUP = [f"<{end}{tag}>" for tag in _TAGS.split() for end in ("", "/")] + _ODD.split()
_pieces = st.lists(st.sampled_from([*_MARKUP, "<EncodingType>url</EncodingType>", " ", "\0", "\ud800"]), max_size=30)
_markup = _pieces.map(lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass"))
_parsers = (
    xml.parse_list,
    xml.parse_initiate,
    xml.parse_complete,
    xml.parse_copy,
    xml.parse_delete,
    xml.parse_buckets,
)


@much
@given(body=_markup | st.binary(max_size=300))
def test_A7_L7_no_document_does_more_than_parse_or_be_refused(body: bytes) -> None:
    for parse in _parsers:
        with suppress(ValueError):
            parse(body)
    found = xml.parse_error(body)
    assert found is None or isinstance(found.code, str)


_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=60)


@much
@given(code=_texts, message=_texts, status=st.sampled_from([200, 301, 400, 403, 404, 412, 416, 429, 500, 503]))
def test_A7_an_error_document_says_what_it_says(code: str, message: str, status: int) -> None:
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>".encode()
    error = translate(answer(status, {}, body), WHERE)
    assert isinstance(error, S3dlioError)
    assert (error.uri, error.status) == ("s3://bucket/key", status)
    assert (error.code or "").strip() == code.strip()


@much
@given(status=st.integers(200, 599), body=_markup | st.binary(max_size=200))
def test_A7_every_answer_is_some_error(status: int, body: bytes) -> None:
    error = translate(answer(status, {}, body), WHERE)
    assert error.status == status
    assert "s3://bucket" in str(error)


@much
@given(
    text=st.text(max_size=60)
    | st.tuples(st.sampled_from(["s3", "gs", "file", "direct", "S3", "http"]), _texts).map("://".join)
)
def test_A7_a_uri_is_itself_again_or_refused(text: str) -> None:
    try:
        where = uris.parse(text)
    except InvalidUriError:
        return
    scheme, _, rest = text.partition("://")
    assert uris.parse(str(where)) == where
    assert rest.endswith(where.key) or scheme in ("file", "direct")


@much
@given(key=_texts.filter(bool))
def test_A7_a_key_is_kept_as_it_is(key: str) -> None:
    if len(key.encode()) > 1024:
        return
    assert uris.parse_key(f"s3://bucket/{key}").key == key
