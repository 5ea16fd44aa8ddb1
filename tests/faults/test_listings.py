"""Listings: complete or an error, in bounded memory, whatever the server sends."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

import s3dlio
from s3dlio.loading.listing import list_samples
from tests.faults.conftest import Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import CLOSE, RESET, Asked, Fault, response, scripted

BUCKET = "s3://bucket/"
MIB = 1 << 20


def page(
    keys: Iterable[str], token: str | None = None, *, truncated: bool | None = None, prefixes: Iterable[str] = ()
) -> bytes:
    """Return a page of a listing as S3 writes it, its keys percent-encoded."""
    entries = "".join(f"<Contents><Key>{quote(key)}</Key><Size>1</Size></Contents>" for key in keys)
    groups = "".join(f"<CommonPrefixes><Prefix>{quote(each)}</Prefix></CommonPrefixes>" for each in prefixes)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    flag = "true" if (token is not None if truncated is None else truncated) else "false"
    top = f"<IsTruncated>{flag}</IsTruncated><EncodingType>url</EncodingType>"
    return f"<ListBucketResult>{top}{more}{entries}{groups}</ListBucketResult>".encode()


def query(request: Asked) -> dict[str, str]:
    """Return the parameters of a request."""
    parameters = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
    return {name: values[0] for name, values in parameters.items()}


def pages(request: Asked) -> bytes:
    """Answer with two pages."""
    return page(["c"]) if "continuation-token=t" in request.target else page(["a", "b"], "t")


FIRST = pages(Asked("GET", "", {}, b"", 0, 0))


@pytest.mark.parametrize(
    "fault",
    [[response(503)], [response(200, FIRST[:-30])], [CLOSE], [RESET], [response(200, FIRST)[:-30], RESET]],
    ids=["503", "truncated", "closed", "reset", "reset inside"],
)
@pytest.mark.parametrize("number", [0, 1], ids=["first", "second"])
def test_L1_a_page_that_fails_is_asked_again(serve: Serve, fault: list[bytes | Fault], number: int) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return fault if request.number == number else [response(200, pages(request))]

    with serve(script):
        assert s3dlio.list(BUCKET) == ["s3://bucket/a", "s3://bucket/b", "s3://bucket/c"]


def test_L1_a_page_that_never_comes_whole_is_an_error(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        whole = pages(request)
        return [response(200, whole[:-30] if "continuation-token" in request.target else whole)]

    with serve(script), pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
        s3dlio.list(BUCKET)


def test_L2_a_refusal_on_the_second_page_is_an_error(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(403) if "continuation-token" in request.target else response(200, pages(request))]

    with serve(script), pytest.raises(s3dlio.AccessDeniedError):
        s3dlio.list(BUCKET)


def test_L3_a_server_that_repeats_itself_is_an_error(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a"], "t"))]) as server:
        with pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
            s3dlio.list(BUCKET)
        assert len(server.asked) == 2


def test_L4_a_page_without_its_token_is_an_error(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a"], truncated=True))]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
            s3dlio.list(BUCKET)


STRANGE = [
    "\x01control",
    "a\x1fb",
    "a\x7f",
    "&amp;",
    "<Key>",
    "'\"",
    "]]>",
    "tab\t",
    "line\nfeed",
    "return\r",
    "%41",
    "a+b c",
    "￾",
    "￿",
    "é",
    "e\u0301",
    "\U0001f600",
]


def test_L5_every_key_is_decoded_once(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(STRANGE))]) as server:
        assert s3dlio.list_keys(BUCKET) == STRANGE
    assert query(server.asked[0])["encoding-type"] == "url"


def test_L5_keys_that_the_server_did_not_encode_are_taken_as_they_are(serve: Serve) -> None:
    plain = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>a+b%41&amp;</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    with serve(lambda request: [response(200, plain)]):
        assert s3dlio.list_keys(BUCKET) == ["a+b%41&"]


@pytest.mark.parametrize("wrong", ["%ff", "%ed%a0%80"], ids=["no text", "lone surrogate"])
def test_L5_a_key_that_no_text_is_stands_for_an_error_and_not_for_another_key(serve: Serve, wrong: str) -> None:
    body = page(["KEY"]).replace(b"KEY", wrong.encode())
    with serve(lambda request: [response(200, body)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError, match="incomplete listing"):
            s3dlio.list(BUCKET)


KEYS = 1_000_000
EACH = 1000
LISTER = """
import re
import s3dlio

def peak():  # not that of getrusage, in which the process that started this one takes part
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) << 10

listing = s3dlio.list_iter("s3://bucket/run/", recursive=True)
assert next(listing) == "s3://bucket/run/00000000"
before, count, last = peak(), 1, ""
for last in listing:
    count += 1
print(count, last, peak() - before)
"""


def test_L6_a_million_keys_are_listed_in_bounded_memory(tmp_path: Path) -> None:
    entry = (
        b"<Contents><Key>run/%08d</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        b"<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>4096</Size>"
        b"<StorageClass>STANDARD</StorageClass></Contents>"
    )

    def script(request: Asked) -> Iterable[bytes]:
        start = int(query(request).get("continuation-token", "0"))
        more = start + EACH < KEYS
        token = b"<NextContinuationToken>%d</NextContinuationToken>" % (start + EACH) if more else b""
        flag = b"<IsTruncated>true</IsTruncated>" if more else b"<IsTruncated>false</IsTruncated>"
        entries = b"".join([entry % number for number in range(start, start + EACH)])
        return [response(200, b"<ListBucketResult>%b%b%b</ListBucketResult>" % (flag, token, entries))]

    with scripted(script) as server:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        done = subprocess.run(
            [sys.executable, "-c", LISTER], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    count, last, grown = done.stdout.split()
    assert (int(count), last) == (KEYS, f"s3://bucket/run/{KEYS - 1:08d}")
    assert int(grown) < 64 * MIB


ONE = page(["a"])


def amid(piece: bytes) -> bytes:
    """Return a page that is whole but for what stands in the middle of it."""
    return ONE.replace(b"<Contents>", piece + b"<Contents>")


HOSTILE = {
    "entities": (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + ONE.replace(b">a<", b">&b;<"), "type"),
    "an external entity": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + ONE, "type"),
    "a document type": (b"<!DOCTYPE ListBucketResult>" + ONE, "document type"),
    "depth": (amid(b"<x>" * 100_000 + b"</x>" * 100_000), "deeper"),
    "attributes": (amid(b"<x " + b" ".join(b'a%d=""' % n for n in range(1_000_000)) + b"/>"), "longer"),
    "elements": (amid(b"<x/>" * 600_000), "more than"),
    "another document": (b"<ListAllMyBucketsResult></ListAllMyBucketsResult>", "expected a listing"),
    "no document": (b"not found", "whole XML document"),
}


@pytest.mark.parametrize(("body", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_L7_S13_a_hostile_document_is_refused(serve: Serve, body: bytes, said: str) -> None:
    with serve(lambda request: [response(200, body)]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError, match=f"incomplete listing.*{said}") as caught:
            s3dlio.list(BUCKET)
        assert "root:" not in str(caught.value)


def test_L7_a_page_that_is_announced_too_large_is_refused_before_it_is_received(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30)
    with serve(lambda request: [head, FIRST]):
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.NetworkError, match=str(1 << 30)):
            s3dlio.list(BUCKET)


def test_L8_keys_outside_the_prefix_are_dropped_and_said_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        second = "continuation-token" in request.target
        return [response(200, page(["b/2", "a/2"] if second else ["a/1", "b/1"], None if second else "t"))]

    with serve(script), caplog.at_level(logging.WARNING, "s3dlio"):
        assert s3dlio.list("s3://bucket/a/") == ["s3://bucket/a/1", "s3://bucket/a/2"]
    assert len(re.findall("s3://bucket/a/ has keys that do not begin so", caplog.text)) == 1


def test_L8_prefixes_outside_the_prefix_are_dropped(serve: Serve) -> None:
    with serve(lambda request: [response(200, page(["a/1"], prefixes=["a/x/", "b/"]))]):
        assert s3dlio.list("s3://bucket/a/") == ["s3://bucket/a/1", "s3://bucket/a/x/"]


def test_L8_what_ends_a_page_and_begins_the_next_is_listed_once(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        if "continuation-token" in request.target:
            return [response(200, page(["b", "d"], prefixes=["c/", "e/"]))]
        return [response(200, page(["a", "b"], "t", prefixes=["c/"]))]

    with serve(script):
        assert s3dlio.list_keys(BUCKET) == ["a", "b", "c/", "d", "e/"]


def test_L9_markers_of_directories_are_listed_as_they_are(s3: S3Bucket) -> None:
    s3dlio.put(s3.uri("run/object"), b"content")
    s3dlio.mkdir(s3.uri("run/empty"))
    assert s3dlio.list_keys(s3.uri("run/"), recursive=True) == ["empty/", "object"]


def test_L9_a_marker_of_a_directory_is_no_sample_of_a_dataset(s3: S3Bucket) -> None:
    s3dlio.put(s3.uri("run/object"), b"content")
    s3dlio.mkdir(s3.uri("run/empty"))
    assert list(list_samples(s3.uri("run/"))) == [s3.uri("run/object")]


def test_L9_a_download_makes_a_directory_of_a_marker(s3: S3Bucket, tmp_path: Path) -> None:
    s3dlio.put(s3.uri("run/object"), b"content")
    s3dlio.mkdir(s3.uri("run/empty"))
    s3dlio.download(s3.uri("run/"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "object"]
    assert (tmp_path / "empty").is_dir()
