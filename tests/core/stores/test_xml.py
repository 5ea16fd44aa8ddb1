"""S3's documents: a whole answer or an error, the same by both readers, nothing for a hostile server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import botocore.handlers
import botocore.parsers
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.stores import xml, xmllist, xmltree
from s3dlio.stores.xml import ErrorDocument, ListPage, parse_list

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


BOMB = b"".join(
    [
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">',
        *(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)),
        b"]><ListBucketResult>&j;</ListBucketResult>",
    ]
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BOMB, "document type"),
        (b'<!DOCTYPE l SYSTEM "file:///etc/passwd"><ListBucketResult/>', "document type"),
        (
            b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><ListBucketResult>&x;</ListBucketResult>',
            "document",
        ),
        (b"<a>" * 100_000, "nested deeper than 32"),
        (b"<a" + b"".join(b' b%d=""' % i for i in range(100_000)) + b"/>", "longer than 65536 bytes"),
        (b"<a>" + b"<b/>" * 500_000 + b"</a>", "more than 500000 tags"),
        (b" " * (xmltree.MOST_BYTES + 1), "longer than"),
    ],
    ids=["bomb", "external document", "external entity", "depth", "attributes", "tags", "size"],
)
@pytest.mark.parametrize("parse", [parse_list, xml.parse_initiate, xml.parse_complete, xml.parse_buckets])
def test_a_document_made_to_exhaust_its_reader_is_refused(
    parse: Callable[[bytes], object], body: bytes, message: str
) -> None:
    if body.startswith(b" ") and parse is not parse_list:
        body = b"<a>" + body + b"</a>"
    with pytest.raises(ValueError, match=message):
        parse(body)


def test_an_undeclared_entity_is_refused() -> None:
    with pytest.raises(ValueError, match="undefined entity"):
        parse_list(keys_page("&nope;"))


def test_an_error_document_tells_code_message_and_request() -> None:
    body = (
        f"{PROLOG}<Error><Code>NoSuchKey</Code><Message>It&apos;s gone</Message><Key>a&amp;b</Key>"
        "<RequestId>R1</RequestId><HostId>h</HostId></Error>"
    ).encode()
    error = xml.parse_error(body)
    assert error is not None
    assert (error.code, error.message, error.request_id) == ("NoSuchKey", "It's gone", "R1")
    assert dict(error.extra) == {"Key": "a&b", "HostId": "h"}
    assert xml.parse_error(b"<ErrorResponse>" + body.removeprefix(PROLOG.encode()) + b"</ErrorResponse>") == error


def test_an_error_document_keeps_none_of_the_secrets_that_s3_repeats() -> None:
    names = (
        "Token-0",
        "AWSAccessKeyId",
        "StringToSign",
        "CanonicalRequest",
        "SignatureProvided",
        "ArgumentValue",
    )
    repeated = "".join(f"<{name}>canary</{name}>" for name in names)
    error = xml.parse_error(f"<Error><Code>ExpiredToken</Code>{repeated}</Error>".encode())
    assert error is not None
    assert "canary" not in repr(error)


@pytest.mark.parametrize("body", [b"", b" \n", b"not xml", b"<html/>", b"<Error><Code>x", BOMB, b"\xff\xfe"])
def test_what_is_no_error_document_is_none(body: bytes) -> None:
    assert xml.parse_error(body) is None


def test_an_upload_id_is_read_and_never_empty() -> None:
    body = f"<InitiateMultipartUploadResult {NAMESPACE}><Key>k</Key><UploadId>u&amp;1</UploadId></%s>"
    whole = (body % "InitiateMultipartUploadResult").encode()
    assert xml.parse_initiate(whole) == "u&1"
    with pytest.raises(ValueError, match="without <UploadId>"):
        xml.parse_initiate(whole.replace(b"u&amp;1", b""))
    with pytest.raises(ValueError, match="not the error InternalError: again"):
        xml.parse_initiate(b"<Error><Code>InternalError</Code><Message>again</Message></Error>")


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (xml.parse_complete, "CompleteMultipartUploadResult"),
        (xml.parse_copy, "CopyObjectResult"),
        (xml.parse_copy, "CopyPartResult"),
    ],
)
def test_an_answer_of_200_is_an_etag_or_the_error_in_it(parse: Callable[[bytes], object], name: str) -> None:
    etag = f"{PROLOG}   \n <{name} {NAMESPACE}><ETag>&quot;e-2&quot;</ETag></{name}>".encode()
    assert parse(etag) == parse(b"\n  " + etag) == '"e-2"'
    error = parse(f"{PROLOG}  <Error><Code>SlowDown</Code><Message>m</Message></Error>".encode())
    assert isinstance(error, ErrorDocument)
    assert error.code == "SlowDown"
    for other in (b"", etag[:-3], b"<Other><ETag>e</ETag></Other>"):
        with pytest.raises(ValueError, match=r"."):
            parse(other)


def test_the_checksums_of_a_completed_upload_are_named_as_headers() -> None:
    body = (
        b"<CompleteMultipartUploadResult><ETag>e</ETag><ChecksumCRC64NVME>AAAAAAAAAAE=</ChecksumCRC64NVME>"
        b"<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
    )
    assert xml.parse_checksums(body) == {
        "x-amz-checksum-crc64nvme": "AAAAAAAAAAE=",
        "x-amz-checksum-type": "FULL_OBJECT",
    }


def test_what_a_batch_could_not_delete_is_told_for_each_key() -> None:
    body = (
        f"<DeleteResult {NAMESPACE}><Deleted><Key>ok</Key></Deleted><Error><Key>a&lt;b</Key>"
        "<Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    ).encode()
    assert xml.parse_delete(body) == [("a<b", "AccessDenied", "no")]
    assert xml.parse_delete(b"<DeleteResult/>") == []
    with pytest.raises(ValueError, match="MalformedXML"):
        xml.parse_delete(b"<Error><Code>MalformedXML</Code></Error>")


def test_buckets_are_named() -> None:
    body = (
        f"<ListAllMyBucketsResult {NAMESPACE}><Owner><ID>me</ID></Owner><Buckets><Bucket>"
        "<Name>b1</Name></Bucket><Bucket><Name>b2</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    ).encode()
    assert xml.parse_buckets(body) == ["b1", "b2"]
    assert xml.parse_buckets(b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>") == []


def texts(body: bytes, name: str) -> list[str]:
    root = ElementTree.fromstring(body)
    return [each.text or "" for each in root.iter(f"{{http://s3.amazonaws.com/doc/2006-03-01/}}{name}")]


@given(st.lists(st.text(st.one_of(_carried, st.just("\r")), min_size=1, max_size=10), min_size=1, max_size=5))
def test_a_batch_of_deletes_carries_every_key_exactly(keys: list[str]) -> None:
    body = xml.delete_document(keys)
    assert texts(body, "Key") == keys
    assert texts(body, "Quiet") == ["true"]


@pytest.mark.parametrize("bad", ["\x00", "\x01", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800"])
def test_a_key_that_xml_cannot_carry_is_refused_by_name(bad: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(f"a{bad}"))):
        xml.delete_document(["fine", f"a{bad}"])


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_deletes_has_one_to_a_thousand_keys(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} keys"):
        xml.delete_document(["k"] * count)


def test_an_upload_is_completed_by_numbers_etags_and_checksums() -> None:
    body = xml.complete_document([(1, '"a&b"'), (3, "c")], algorithm="CRC32C", checksums=["s1=", "s3="])
    assert texts(body, "PartNumber") == ["1", "3"]
    assert texts(body, "ETag") == ['"a&b"', "c"]
    assert texts(body, "ChecksumCRC32C") == ["s1=", "s3="]
    assert texts(xml.complete_document([(1, "a")]), "ETag") == ["a"]


@pytest.mark.parametrize("numbers", [[], [2, 1], [1, 1]])
def test_parts_out_of_order_are_refused_before_they_are_sent(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(numbers))):
        xml.complete_document([(number, "e") for number in numbers])


def test_checksums_must_cover_every_part() -> None:
    with pytest.raises(ValueError, match="1 checksums for 2 parts"):
        xml.complete_document([(1, "a"), (2, "b")], algorithm="CRC32C", checksums=["s="])


def test_a_bucket_is_created_in_its_region() -> None:
    assert texts(xml.create_bucket_document("eu-west-1"), "LocationConstraint") == ["eu-west-1"]
    assert xml.create_bucket_document("us-east-1") == b""
