"""The checksum of what is written: the best that the service takes, and compared with what the service says it has."""

import hashlib
import logging
import os
from collections.abc import Iterable
from typing import Any

import pytest

import s3dlio
from s3dlio import checksum
from s3dlio.checksum import CRC32C, CRC64NVME, Algorithm
from tests.faults.conftest import Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, Script, response

URI = "s3://bucket/key"
MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(20 * MIB)

STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>"


def error(code: str, message: str) -> bytes:
    """Return an error document."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def is_start(request: Asked) -> bool:
    """Tell whether a request begins an upload."""
    return request.target.endswith("?uploads=")


def is_completion(request: Asked) -> bool:
    """Tell whether a request completes an upload."""
    return request.method == "POST" and "uploadId=" in request.target


def healthy(request: Asked, **fields: str) -> bytes:
    """Answer as a server that takes what comes; `fields` are those of a started upload."""
    if request.method == "DELETE":
        return response(204)
    if is_start(request):
        return response(200, STARTED, **fields)
    if is_completion(request):
        return response(200, COMPLETED)
    return response(200, ETag=f'"{hashlib.md5(request.body).hexdigest()}"')


def named(request: Asked) -> str:
    """Return the algorithm whose sum a body, or whose name an upload, goes with; "" for none."""
    names = {name.removeprefix("x-amz-checksum-") for name in request.fields if name.startswith("x-amz-checksum-")}
    names -= {"type"}
    if names == {"algorithm"}:
        return request.fields["x-amz-checksum-algorithm"]
    assert len(names) <= 1
    return "".join(names).upper()


def whole(algorithm: Algorithm, content: bytes) -> str:
    """Return the sum of a content as it stands in a header."""
    return algorithm.encode(algorithm.update(content))


# How services refuse a checksum that they do not know: Backblaze B2, Cloudflare R2, MinIO, Ministack, and AWS's own
# words for any header, which others use.
REFUSALS = {
    "B2": response(400, error("InvalidArgument", "Unsupported header 'x-amz-checksum-X' received for this API call.")),
    "R2": response(501, error("NotImplemented", "Header 'x-amz-checksum-X' with value 'Y' not implemented")),
    "MinIO": response(400, error("InvalidArgument", "Invalid checksum provided.")),
    "Ministack": response(400, error("InvalidRequest", "Checksum algorithm not supported in this build: X.")),
    "AWS": response(501, error("NotImplemented", "A header you provided implies functionality not implemented")),
    "no words": response(501),
}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())


def taking(algorithms: tuple[str, ...], refusal: bytes, **fields: str) -> Script:
    """Serve as one that takes these algorithms and refuses the others."""
    return lambda request: [
        refusal if request.method != "DELETE" and named(request) not in algorithms else healthy(request, **fields)
    ]


@each_refusal
@pytest.mark.parametrize(("known", "tried"), [("CRC32C", ["CRC64NVME", "CRC32C"]), ("", ["CRC64NVME", "CRC32C", ""])])
def test_W11_a_checksum_that_is_refused_gives_way_to_a_weaker_one(
    serve: Serve, refusal: bytes, known: str, tried: list[str]
) -> None:
    with serve(taking((known,), refusal)) as server:
        s3dlio.configure(max_attempts=1)
        s3dlio.put(URI, SMALL)
        assert [named(each) for each in server.asked] == tried
        assert all(each.body == SMALL for each in server.asked)
        if known:
            assert server.asked[-1].fields["x-amz-checksum-crc32c"] == whole(CRC32C, SMALL)
        assert ("x-amz-sdk-checksum-algorithm" in server.asked[-1].fields) == bool(known)


def test_W11_what_a_service_takes_is_remembered_and_said_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(taking(("",), REFUSALS["B2"])) as server, caplog.at_level(logging.WARNING, "s3dlio"):
        for _ in range(3):
            s3dlio.put(URI, SMALL)
        assert [named(each) for each in server.asked] == ["CRC64NVME", "CRC32C", "", "", ""]
        assert [record.getMessage() for record in caplog.records] == [
            f"{server.endpoint} does not take CRC64NVME: bodies go with no checksum from now on"
        ]


@each_refusal
@pytest.mark.parametrize("known", ["CRC32C", ""])
def test_W11_an_upload_goes_with_the_checksum_that_the_service_takes(serve: Serve, refusal: bytes, known: str) -> None:
    with serve(taking((known,), refusal, x_amz_checksum_type="FULL_OBJECT")) as server:
        s3dlio.put(URI, LARGE)
        parts = {each.target: each for each in server.asked if "partNumber" in each.target}
        assert [named(each) for each in parts.values()] == [known] * 3
        assert b"".join(parts[target].body for target in sorted(parts)) == LARGE
        assert named(server.asked[-1]) == known
        if known:
            assert server.asked[-1].fields["x-amz-checksum-crc32c"] == whole(CRC32C, LARGE)


def test_W11_an_upload_of_which_only_the_parts_have_sums_names_them_all(serve: Serve) -> None:
    known = taking(("CRC32C",), REFUSALS["MinIO"])  # and it does not say that it knows the type
    with serve(lambda request: [healthy(request)] if is_completion(request) else known(request)) as server:
        s3dlio.put(URI, LARGE)
        done = server.asked[-1]
        sums = [whole(CRC32C, LARGE[at : at + 8 * MIB]) for at in range(0, len(LARGE), 8 * MIB)]
        assert all(f"<ChecksumCRC32C>{each}</ChecksumCRC32C>" in done.body.decode() for each in sums)
        assert named(done) == ""


@pytest.mark.parametrize(
    "message", ["Unsupported header 'x-amz-checksum-type'", "The checksum type FULL_OBJECT is not supported."]
)
def test_W11_a_type_of_checksum_that_is_refused_is_left_out_and_the_checksum_stays(serve: Serve, message: str) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        refused = is_start(request) and "x-amz-checksum-type" in request.fields
        return [response(400, error("InvalidRequest", message)) if refused else healthy(request)]

    with serve(script) as server:
        s3dlio.put(URI, LARGE)
        s3dlio.put(URI, LARGE)
        starts = [each for each in server.asked if is_start(each)]
        assert [named(each) for each in starts] == ["CRC64NVME"] * 3
        assert ["x-amz-checksum-type" in each.fields for each in starts] == [True, False, False]
        assert {named(each) for each in server.asked if each.body} == {"CRC64NVME"}


def test_W11_a_service_that_refuses_only_the_sums_of_parts_gets_none_for_them(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        refused = "partNumber" in request.target and named(request)
        return [REFUSALS["B2"] if refused else healthy(request)]

    with serve(script) as server:
        s3dlio.configure(max_attempts=1)
        s3dlio.put(URI, LARGE)
        accepted = {each.target: each.body for each in server.asked if "partNumber" in each.target and not named(each)}
        assert b"".join(accepted[target] for target in sorted(accepted)) == LARGE
        assert named(server.asked[-1]) == ""


def test_W11_a_service_that_refuses_only_the_sum_of_the_whole_gets_none_for_it(serve: Serve) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        return [REFUSALS["B2"] if is_completion(request) and named(request) else healthy(request)]

    with serve(script) as server:
        s3dlio.configure(max_attempts=1)
        s3dlio.put(URI, LARGE)
        assert [named(each) for each in server.asked if is_completion(each)] == ["CRC64NVME", ""]


DAMAGED = {
    "AWS": error("BadDigest", "The CRC64NVME you specified did not match the calculated checksum."),
    "MinIO": error("XAmzContentChecksumMismatch", "The provided 'x-amz-checksum' header does not match."),
    "a hash": error("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match."),
}


@pytest.mark.parametrize("answer", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
def test_W11_a_damaged_body_is_sent_again_with_the_same_checksum(serve: Serve, answer: bytes, content: bytes) -> None:
    damage = iter([response(400, answer)])

    def script(request: Asked) -> Iterable[bytes]:
        return [next(damage, healthy(request)) if request.method == "PUT" else healthy(request)]

    with serve(script) as server:
        s3dlio.put(URI, content)
        bodies = [each for each in server.asked if each.method == "PUT"]
        assert len(bodies) == (2 if content == SMALL else 4)
        assert {named(each) for each in bodies} == {"CRC64NVME"}


@pytest.mark.parametrize("answer", DAMAGED.values(), ids=DAMAGED.keys())
def test_W11_bytes_that_always_arrive_damaged_are_an_error(serve: Serve, answer: bytes) -> None:
    with serve(lambda request: [response(400, answer)]) as server:
        s3dlio.configure(max_attempts=3)
        with pytest.raises(s3dlio.IntegrityError) as caught:
            s3dlio.put(URI, SMALL)
        assert caught.value.uri == URI
        assert [named(each) for each in server.asked] == ["CRC64NVME"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        response(400, error("InvalidRequest", "The checksum does not match")),
        response(400, error("InvalidArgument", "The argument is wrong")),
        response(403, error("AccessDenied", "checksum")),
        response(400, error("EntityTooLarge", "checksum")),
    ],
    ids=["a difference", "another argument", "denied", "too large"],
)
def test_W11_no_other_refusal_is_taken_for_one_of_the_checksum(serve: Serve, answer: bytes) -> None:
    with serve(lambda request: [answer]) as server:
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.put(URI, SMALL)
        assert [named(each) for each in server.asked] == ["CRC64NVME"]


def test_W11_a_condition_that_is_not_implemented_is_not_taken_for_the_checksum(serve: Serve) -> None:
    with serve(lambda request: [response(501, error("NotImplemented", "Conditional writes"))]) as server:
        with pytest.raises(s3dlio.RequestError, match="Conditional writes"):
            s3dlio.put(URI, SMALL, if_none_match=True)
        assert len(server.asked) == 1


def test_W11_a_service_that_refuses_everything_changes_nothing_for_the_next_write(serve: Serve) -> None:
    answers = iter([response(501)] * 3)
    with serve(lambda request: [next(answers, healthy(request))]) as server:
        with pytest.raises(s3dlio.RequestError):
            s3dlio.put(URI, SMALL)
        s3dlio.put(URI, SMALL)
        assert named(server.asked[-1]) == "CRC64NVME"


@pytest.mark.parametrize("told", [{"x_amz_checksum_crc64nvme": "AAAAAAAAAAA="}, {"x_amz_object_size": "4999"}])
def test_W11_an_object_that_was_stored_otherwise_is_stored_again(serve: Serve, told: dict[str, Any]) -> None:
    answers = iter([response(200, ETag='"one"', **told)])
    good: dict[str, Any] = {"x_amz_checksum_crc64nvme": whole(CRC64NVME, SMALL), "x_amz_object_size": "5000"}
    with serve(lambda request: [next(answers, response(200, ETag='"one"', **good))]) as server:
        s3dlio.put(URI, SMALL)
        assert len(server.asked) == 2


@pytest.mark.parametrize("told", [{"x_amz_checksum_crc64nvme": "AAAAAAAAAAA="}, {"x_amz_object_size": "4999"}])
@pytest.mark.parametrize(("create_only", "times"), [(False, 3), (True, 1)])
def test_W11_an_object_that_is_always_stored_otherwise_is_an_error(
    serve: Serve, told: dict[str, Any], create_only: bool, times: int
) -> None:
    with serve(lambda request: [response(200, ETag='"one"', **told)]) as server:
        s3dlio.configure(max_attempts=3)
        with pytest.raises(s3dlio.IntegrityError, match="stored"):
            s3dlio.put(URI, SMALL, if_none_match=create_only)
        assert len(server.asked) == times


def test_W11_a_part_that_was_stored_otherwise_is_stored_again(serve: Serve) -> None:
    wrong = iter([response(200, ETag='"one"', x_amz_checksum_crc64nvme="AAAAAAAAAAA=")])

    def script(request: Asked) -> Iterable[bytes]:
        return [next(wrong, healthy(request)) if "partNumber=2" in request.target else healthy(request)]

    with serve(script) as server:
        s3dlio.put(URI, LARGE)
        assert len([each for each in server.asked if "partNumber=2" in each.target]) == 2


@pytest.mark.parametrize(
    ("stored", "kind", "right"),
    [
        (whole(CRC64NVME, LARGE), "FULL_OBJECT", True),
        (whole(CRC64NVME, LARGE[1:]), "FULL_OBJECT", False),
        (whole(CRC64NVME, LARGE[1:]), None, False),
        (whole(CRC64NVME, LARGE[1:]), "COMPOSITE", True),
        (f"{whole(CRC64NVME, LARGE[1:])}-3", None, True),
    ],
    ids=["right", "wrong", "wrong without a type", "a sum of sums", "a sum of sums by its number"],
)
def test_W11_the_whole_that_the_service_put_together_is_compared(
    serve: Serve, stored: str, kind: str | None, right: bool
) -> None:
    typed = f"<ChecksumType>{kind}</ChecksumType>" if kind else ""
    sums = f"<ChecksumCRC64NVME>{stored}</ChecksumCRC64NVME>{typed}</CompleteMultipartUploadResult>"
    done = COMPLETED.replace(b"</CompleteMultipartUploadResult>", sums.encode())

    def script(request: Asked) -> Iterable[bytes]:
        return [response(200, done) if is_completion(request) else healthy(request)]

    with serve(script):
        if right:
            s3dlio.put(URI, LARGE)
        else:
            with pytest.raises(s3dlio.IntegrityError, match="put it again"):
                s3dlio.put(URI, LARGE)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
def test_W11_real_services_take_what_goes_along(s3: S3Bucket, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "s3dlio"):
        s3dlio.put(s3.uri("object"), content)
    assert caplog.records == []
    assert s3.client.get_object(Bucket=s3.bucket, Key="object")["Body"].read() == content
    assert checksum.crc64nvme(s3dlio.get(s3.uri("object"))) == checksum.crc64nvme(content)
