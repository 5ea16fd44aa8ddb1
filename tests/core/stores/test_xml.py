"""S3's documents: a whole answer or an error, and nothing for a hostile server."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.stores import xml, xmltree
from s3dlio.stores.xml import ErrorDocument, parse_list

PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

_carried = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\x7f"
)

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
        parse_list(f"<ListBucketResult {NAMESPACE}><Name>&nope;</Name></ListBucketResult>".encode())


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
