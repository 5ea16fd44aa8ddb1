"""Pages of a listing: whole or an error, and the same by both readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import botocore.handlers
import botocore.parsers
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.stores import xmllist, xmltree
from s3dlio.stores.xml import ListPage, parse_list

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'

_carried = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\x7f"
)
_keys = st.text(st.one_of(st.sampled_from("ab/.%+ &<>]\"'=é😀"), _carried), min_size=1, max_size=12)
_entries = st.tuples(
    _keys,
    st.integers(0, 5 << 40),
    st.sampled_from(["2024-01-01T00:00:00.000Z", ""]),
    st.sampled_from(['"0123456789abcdef"', "bare", ""]),
    st.sampled_from(["STANDARD", "GLACIER", ""]),
)
EXTRAS = [
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>",
    "<Owner><ID>0a</ID><DisplayName>me</DisplayName></Owner>",
    "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
    "<Unknown>&amp;</Unknown>",
    "<!-- <Contents> -->",
    "",
]


def entry(
    fields: tuple[str, int, str, str, str],
    order: list[str],
    extra: str,
    gap: str,
    encode: Callable[[str], str],
) -> str:
    key, size, modified, etag, storage = fields
    texts = {
        "Key": encode(key),
        "Size": str(size),
        "LastModified": modified,
        "ETag": escape(etag, {'"': "&quot;"}),
        "StorageClass": storage,
    }
    leaves = [f"<{name}>{texts[name]}</{name}>" for name in order]
    leaves.insert(len(leaves) // 2, extra)
    return f"<Contents>{gap}{gap.join(leaves)}{gap}</Contents>"


def listing(contents: list[str], *, gap: str = "", encoded: bool = True, more: str = "", token: str = "") -> bytes:
    inner = [
        "<Name>bucket</Name>",
        "<EncodingType>url</EncodingType>" if encoded else "",
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>",
        f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "",
        *contents,
        more,
    ]
    return f"{PROLOG}<ListBucketResult {NAMESPACE}>{gap}{gap.join(inner)}{gap}</ListBucketResult>".encode()


def keys_page(*keys: str) -> bytes:
    return listing([f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys])


def parsed(body: bytes) -> ListPage | None:
    """Read a page by the parser alone; None if it is refused."""
    try:
        return xmllist.read(xmltree.parse_tree(body))[0]
    except ValueError:
        return None


def answered(body: bytes) -> ListPage | None:
    try:
        return parse_list(body)
    except ValueError:
        return None


def aws_page(size: int) -> bytes:
    order = ["Key", "LastModified", "ETag", "Size", "StorageClass"]
    one = ("2024-01-01T00:00:00.000Z", '"00ff"', "STANDARD")
    return listing([entry((f"a-{i:03d}", i, *one), order, EXTRAS[0], "", quote_plus) for i in range(size)], token="t==")


@given(
    entries=st.lists(_entries, max_size=6),
    order=st.permutations(["Key", "LastModified", "ETag", "Size", "StorageClass"]),
    extras=st.lists(st.sampled_from(EXTRAS), min_size=6, max_size=6),
    gap=st.sampled_from(["", "\n  ", " \t", "\r\n"]),
    encoded=st.booleans(),
    prefixes=st.lists(_keys, max_size=2),
)
def test_a_page_comes_back_as_it_was_written(
    entries: list[tuple[str, int, str, str, str]],
    order: list[str],
    extras: list[str],
    gap: str,
    encoded: bool,
    prefixes: list[str],
) -> None:
    encode: Callable[[str], str] = quote_plus if encoded else escape
    contents = [entry(each, order, extra, gap, encode) for each, extra in zip(entries, extras, strict=False)]
    groups = "".join(f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes)
    body = listing(contents, gap=gap, encoded=encoded, more=groups, token="1/&amp;")
    assert parse_list(body) == ListPage(entries, prefixes, True, "1/&") == parsed(body)


@pytest.mark.parametrize("extra", EXTRAS[:2])
@pytest.mark.parametrize("gap", ["", "\n    "])
def test_the_pages_of_known_servers_need_no_parser_for_their_entries(extra: str, gap: str) -> None:
    for order in (
        ["Key", "LastModified", "ETag", "Size", "StorageClass"],
        ["ETag", "Key", "LastModified", "Size"],
    ):
        fields = ("dt=1/a b+c%.tar", 7, "2024-01-01T00:00:00.000Z", '"00"', "STANDARD")
        body = listing([entry(fields, order, extra, gap, quote_plus)] * 3, gap=gap)
        page = xmllist.scan(body)
        assert page is not None
        assert page == parsed(body)


@given(data=st.data())
def test_both_readers_agree_on_any_damaged_page(data: st.DataObject) -> None:
    body = bytearray(aws_page(3))
    snippets = [
        b"<", b">", b"&", b"&amp;", b"&quot;", b"]]>", b"\r", b"\x00", b"\x01", b"\xff",
        b"\xef\xbf\xbf", b"\xc3\xa9", b"<Contents>", b"</Contents>", b"<Key>", b"</Key>", b"<x/>",
        b"<!---->", b"<![CDATA[", b"<?a?>", b"<Owner>", b"</Owner>", b"<Size>1</Size>",
        b"<Key>b</Key>", b"%41", b"%ff", b" ", b"text", b"",
        b"<Contents><Key>k</Key><Size>1</Size></Contents>", b"<EncodingType>url</EncodingType>",
    ]  # fmt: skip
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 12))
        body[at : at + cut] = data.draw(st.sampled_from(snippets))
    scanned = xmllist.scan(bytes(body))
    assert scanned is None or scanned == parsed(bytes(body))
    assert answered(bytes(body)) == parsed(bytes(body))


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (b"<Contents><Key>a-001", b"<Contents><Key>a-002", 2),
        (b"<Contents><Key>a-000", b"</ListBucketResult>", 0),
    ],
    ids=["one entry", "all entries"],
)
@pytest.mark.parametrize(("opening", "closing"), [(b"<Wrap>", b"</Wrap>"), (b"<!-- ", b" -->")])
def test_entries_that_stand_where_none_belong_are_not_entries(
    before: bytes, after: bytes, count: int, opening: bytes, closing: bytes
) -> None:
    body = aws_page(3).replace(before, opening + before).replace(after, closing + after)
    page = parse_list(body)
    assert page == parsed(body)
    assert len(page.entries) == count


def test_a_page_cut_at_any_byte_is_an_error() -> None:
    body = aws_page(2)
    for end in range(len(body)):
        with pytest.raises(ValueError, match=r"."):
            parse_list(body[:end])
    assert parse_list(body + b"\n") == parse_list(body)


def test_a_page_agrees_with_botocores_parser() -> None:
    keys = ["a+b", "a b", "a%41", "a/b", "é", "tab\t", "line\n", "\x01", "<&>"]
    order = ["Key", "LastModified", "ETag", "Size", "StorageClass"]
    body = listing(
        [entry((key, 9, "2024-01-01T00:00:00Z", '"e"', "STANDARD"), order, "", "", quote_plus) for key in keys],
        more="<CommonPrefixes><Prefix>x+%2B/</Prefix></CommonPrefixes>",
    )
    shape = botocore.session.Session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
    theirs: dict[str, Any] = botocore.parsers.create_parser("rest-xml").parse(
        {"status_code": 200, "headers": {}, "body": body}, shape
    )
    botocore.handlers.decode_list_object_v2(theirs, {"encoding_type_auto_set": True})
    ours = parse_list(body)
    assert [each[0] for each in ours.entries] == keys == [each["Key"] for each in theirs["Contents"]]
    assert [each[3] for each in ours.entries] == [each["ETag"] for each in theirs["Contents"]]
    assert ours.prefixes == [each["Prefix"] for each in theirs["CommonPrefixes"]] == ["x +/"]


def test_keys_are_decoded_once_and_only_when_they_were_encoded() -> None:
    assert [each[0] for each in parse_list(keys_page("a%2541", "b+%2B%0Ac", "%01")).entries] == [
        "a%41",
        "b +\nc",
        "\x01",
    ]
    plain = keys_page("a%2541", "b+").replace(b"<EncodingType>url</EncodingType>", b"")
    assert [each[0] for each in parse_list(plain).entries] == ["a%2541", "b+"]


def test_a_truncated_page_without_a_token_is_an_incomplete_listing() -> None:
    body = keys_page("a").replace(b">false<", b">true<")
    for empty in (b"", b"<NextContinuationToken></NextContinuationToken>"):
        with pytest.raises(ValueError, match="no continuation token"):
            parse_list(body.replace(b"<Contents>", empty + b"<Contents>"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a whole XML document"),
        (b"<html><body>502 Bad Gateway</body></html>", "expected a listing, not <html>"),
        (b"<Error><Code>SlowDown</Code></Error>", "expected a listing, not <Error>"),
        (keys_page("a").replace(b"<IsTruncated>false</IsTruncated>", b""), "IsTruncated is None"),
        (keys_page("a").replace(b">false<", b">maybe<"), "IsTruncated is 'maybe'"),
        (keys_page("a", "").replace(b"<Size>1", b"<Size>2"), "without <Key>"),
        (keys_page("a").replace(b"<Size>1</Size>", b""), "without <Size>"),
        (keys_page("a").replace(b"<Size>1", b"<Size>-1"), "size '-1'"),
        (keys_page("a").replace(b"<Size>1", b"<Size>1_0"), "size '1_0'"),
        (keys_page("a").replace(b"<Key>a", b"<Key>a<b>c</b>"), "elements in it"),
        (keys_page("a").replace(b"<Key>a</Key>", b"<Key>a</Key><Key>b</Key>"), "holds <Key> twice"),
        (keys_page("a%FF"), "invalid start byte"),
        (keys_page("a\x01"), "not a whole XML document"),
        (keys_page("a]]>b"), "not a whole XML document"),
        (keys_page("b", "a" * 200_000), "a text longer than 65536 bytes"),
        (keys_page("a") + keys_page("b"), "not a whole XML document"),
    ],
)
def test_what_is_not_one_whole_listing_is_an_error_that_says_why(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_list(body)
