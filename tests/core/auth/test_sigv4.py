"""Signatures: equal to botocore's for any request, over the path exactly as it is sent."""

from __future__ import annotations

import copy
import datetime
import pickle
import threading
from unittest import mock
from urllib.parse import unquote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.auth.sigv4 import Credentials, Signer, quote_key, quote_query

NOW = 1_700_000_000.9
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HOST = "bucket.s3.eu-west-1.amazonaws.com"

_character = st.characters(exclude_categories=["Cs"])
_keys = st.text(st.one_of(st.sampled_from("ab/.%+ ~-_*'()=&?#é漢😀"), _character), min_size=1, max_size=30)
_params = st.lists(st.tuples(st.text(_character, min_size=1, max_size=8), st.text(_character, max_size=8)), max_size=5)
_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_secrets = st.text(_visible, min_size=1, max_size=50)
_names = st.sampled_from(["range", "x-amz-meta-a", "x-amz-meta-b", "content-type", "user-agent", "expect", "if-match"])
_values = st.text(st.sampled_from("ab \t=;,\"'"), max_size=15)


def botocores(
    credentials: Credentials,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    payload_hash: str,
    now: float = NOW,
) -> dict[str, str]:
    """Sign with botocore's own class at a given time; return the headers that it adds."""
    whole = f"https://{HOST}{path}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(method, whole, headers=dict(headers))
    signer = botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials(credentials.access_key, credentials.secret_key, credentials.token),
        "s3",
        "eu-west-1",
    )
    moment = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    with (
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment),
        mock.patch.object(signer, "payload", return_value=payload_hash),
    ):
        signer.add_auth(request)
    given = {name for name, _ in headers}
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in given}


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
    key=_keys,
    params=_params,
    extra=st.dictionaries(_names, _values),
    access_key=_secrets,
    secret_key=_secrets,
    token=st.none() | _secrets,
    payload_hash=st.sampled_from([EMPTY, "UNSIGNED-PAYLOAD"]),
    now=st.floats(0, 4e9),
)
def test_a_signature_is_botocores_for_any_request(
    method: str,
    key: str,
    params: list[tuple[str, str]],
    extra: dict[str, str],
    access_key: str,
    secret_key: str,
    token: str | None,
    payload_hash: str,
    now: float,
) -> None:
    credentials = Credentials(access_key, secret_key, token)
    headers = [("host", HOST), *extra.items()]
    path, query = f"/{quote_key(key)}", quote_query(params)
    ours = Signer("eu-west-1").headers(credentials, method, path, query, headers, payload_hash, now)
    assert dict(ours) == botocores(credentials, method, path, query, headers, payload_hash, now)


@pytest.mark.parametrize("key", ["a/../b", "..", ".", "a//b", "/lead", "//x", "a/./b", "a%2Fb", "a+b", "a b", "é/漢"])
def test_a_key_is_signed_as_it_is_sent_and_never_normalised(key: str) -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret")
    path = f"/bucket/{quote_key(key)}"
    assert unquote(path) == f"/bucket/{key}"
    ours = Signer("eu-west-1").headers(credentials, "GET", path, "", [("host", HOST)], EMPTY, NOW)
    assert dict(ours) == botocores(credentials, "GET", path, "", [("host", HOST)], EMPTY)


def test_the_example_of_the_s3_api_reference_gives_its_signature() -> None:
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = [("host", "examplebucket.s3.amazonaws.com"), ("range", "bytes=0-9")]
    moment = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC).timestamp()
    added = dict(Signer("us-east-1").headers(credentials, "GET", "/test.txt", "", headers, EMPTY, moment))
    assert added["x-amz-date"] == "20130524T000000Z"
    assert added["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_one_signer_follows_midnight_and_changed_credentials() -> None:
    signer = Signer("eu-west-1")
    midnight = 1_700_006_400.0
    who = [
        Credentials("AKIDONE", "first"),
        Credentials("AKIDTWO", "second", "token"),
        Credentials("AKIDONE", "new"),
    ]
    for now in (midnight - 1, midnight, midnight - 0.5, midnight + 86_400):
        for credentials in who:
            ours = signer.headers(credentials, "GET", "/k", "", [("host", HOST)], EMPTY, now)
            assert dict(ours) == botocores(credentials, "GET", "/k", "", [("host", HOST)], EMPTY, now)


def test_threads_that_share_a_signer_get_the_signatures_of_their_own_credentials() -> None:
    signer = Signer("eu-west-1")
    who = [Credentials(f"AKID{i}", f"secret{i}") for i in range(4)]

    def signed(by: Signer, i: int, n: int) -> list[tuple[str, str]]:
        return by.headers(who[i], "GET", f"/{i}/{n}", "", [("host", HOST)], EMPTY, NOW + 43_200 * (n % 4))

    results: dict[int, list[list[tuple[str, str]]]] = {}

    def work(i: int) -> None:
        results[i] = [signed(signer, i, n) for n in range(200)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [signed(Signer("eu-west-1"), i, n) for n in range(200)] for i in range(4)}


@given(_keys)
def test_a_quoted_key_holds_only_safe_characters_and_decodes_to_itself(key: str) -> None:
    quoted = quote_key(key)
    assert set(quoted) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/%")
    assert unquote(quoted) == key


def test_a_key_that_utf8_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        quote_key("a\ud800")


def test_parameters_are_sorted_by_encoded_name_and_not_by_the_joined_text() -> None:
    assert quote_query([("a-b", "1"), ("a", "2"), ("a", "1"), ("ü", "/+ ")]) == "%C3%BC=%2F%2B%20&a=1&a=2&a-b=1"
    assert quote_query([]) == ""


def test_credentials_show_only_the_end_of_the_access_key() -> None:
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "very-secret", "session-token")
    shown = f"{credentials!r} {credentials} {[credentials]}"
    assert "MPLE" in shown
    assert not any(part in shown for part in ("AKIA", "EXAM'", "very-secret", "session-token"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credentials_are_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Credentials("AKIDEXAMPLE", "secret"), protocol)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy({"in": Credentials("AKIDEXAMPLE", "secret")})


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("", "secret"), "access_key"),
        (("AKID", ""), "secret_key"),
        (("AKID\n", "hidden-value"), "access_key"),
        (("AKID", "hidden-value "), "secret_key"),
        (("AKID", "secret", "hidden-value\r\nx-evil: 1"), "token"),
        (("AKID", "secret", ""), "token"),
    ],
)
def test_a_credential_that_cannot_stand_in_a_header_is_refused_and_not_repeated(
    values: tuple[str, ...], name: str
) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        Credentials(*values)
    assert "hidden-value" not in str(caught.value)
