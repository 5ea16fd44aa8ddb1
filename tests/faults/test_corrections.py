"""Refusals that say what was wrong: put right once, and the request made again; otherwise an error."""

import os
import threading
import time
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

import pytest

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import Asked, Fault, part, response

URI = "s3://bucket/key"
SMALL = os.urandom(5000)
MANY = 8  # requests that are refused at the same time


def document(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>said</Message></Error>".encode()


def signed_at(request: Asked) -> float:
    return time.mktime(time.strptime(request.fields["x-amz-date"], "%Y%m%dT%H%M%SZ")) - time.timezone


def test_H6_a_clock_that_is_wrong_is_set_by_the_services(serve: Serve, get: Get) -> None:
    ahead = time.time() + 3600

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if abs(signed_at(request) - ahead) > 900:
            return [response(403, document("RequestTimeTooSkewed"), Date=formatdate(ahead, usegmt=True))]
        return [part(request, SMALL)]

    with serve(script) as server:
        assert get(URI) == SMALL
        assert get(URI) == SMALL
        assert len(server.asked) == 3


def test_H6_a_clock_that_cannot_be_set_right_is_an_error(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [response(403, document("RequestTimeTooSkewed"), Date=formatdate(usegmt=True))]

    with serve(script) as server:
        with pytest.raises(s3dlio.CredentialsError, match="clock"):
            get(URI)
        assert len(server.asked) == 1


def profile(path: Path, token: str) -> None:
    path.write_text(f"[default]\naws_access_key_id=key\naws_secret_access_key=secret\naws_session_token={token}\n")


def test_H5_expired_credentials_are_looked_up_again(
    serve: Serve, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    profile(path, "old")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.fields["x-amz-security-token"] == "old":
            profile(path, "new")
            return [response(400, document("ExpiredToken"))]
        return [part(request, SMALL)]

    with serve(script) as server:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert get(URI) == SMALL
        assert len(server.asked) == 2


def test_H5_expired_credentials_without_others_are_an_error(serve: Serve, get: Get) -> None:
    with serve(lambda request: [response(400, document("ExpiredToken"))]) as server:
        with pytest.raises(s3dlio.CredentialsError):
            get(URI)
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 400])
def test_H9_a_bucket_in_another_region_is_asked_for_there(serve: Serve, get: Get, status: int) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        if "/eu-west-1/s3/" not in request.fields["authorization"]:
            return [response(status, document("AuthorizationHeaderMalformed"), x_amz_bucket_region="eu-west-1")]
        return [part(request, SMALL)]

    with serve(script) as server:
        assert get(URI) == SMALL
        assert get(URI) == SMALL
        assert len(server.asked) == 3


@pytest.mark.parametrize("region", ["us-east-1", "", "evil.example.org/", "a b"])
def test_H9_a_region_that_leads_nowhere_is_an_error(serve: Serve, get: Get, region: str) -> None:
    with serve(lambda request: [response(301, x_amz_bucket_region=region)]) as server:
        with pytest.raises(s3dlio.RequestError):
            get(URI)
        assert len(server.asked) == 1


def test_H6_a_wrong_clock_is_set_for_all_requests_under_way(serve: Serve) -> None:
    ahead = time.time() + 3600
    waiting = threading.Barrier(MANY)

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if abs(signed_at(request) - ahead) > 900:
            waiting.wait(5)
            return [response(403, document("RequestTimeTooSkewed"), Date=formatdate(ahead, usegmt=True))]
        return [part(request, SMALL)]

    with serve(script):
        assert s3dlio.get_many([URI] * MANY) == [SMALL] * MANY


def test_H9_a_bucket_in_another_region_is_found_by_all_requests_under_way(serve: Serve) -> None:
    waiting = threading.Barrier(MANY)

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if "/eu-west-1/s3/" not in request.fields["authorization"]:
            waiting.wait(5)
            return [response(301, document("PermanentRedirect"), x_amz_bucket_region="eu-west-1")]
        return [part(request, SMALL)]

    with serve(script):
        assert s3dlio.get_many([URI] * MANY) == [SMALL] * MANY


def test_H5_expired_credentials_are_looked_up_again_for_all_requests_under_way(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    profile(path, "old")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    waiting = threading.Barrier(MANY)

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.fields["x-amz-security-token"] == "old":
            profile(path, "new")
            waiting.wait(5)
            return [response(400, document("ExpiredToken"))]
        return [part(request, SMALL)]

    with serve(script):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert s3dlio.get_many([URI] * MANY) == [SMALL] * MANY


def test_H10_S9_a_redirect_is_not_followed(serve: Serve, get: Get) -> None:
    with serve(lambda request: [part(request, SMALL)]) as other:
        script = [response(307, Location=f"{other.endpoint}/bucket/key")]
        with serve(lambda request: script), pytest.raises(s3dlio.RequestError, match="not followed"):
            get(URI)
        assert other.asked == []
