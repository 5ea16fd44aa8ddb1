"""S7: no secret in a log, an exception, a repr, a pickle or the operation log, whatever goes wrong.

Every secret here has the word canary in it, and so has everything that a server repeats.
"""

import asyncio
import io
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3dlio
from s3dlio import redaction
from s3dlio.logging_ import init_logging
from s3dlio.stores import store_for
from s3dlio.uri import parse
from tests.servers.scripted import Asked, Fault, Script, part, response, scripted

ACCESS_KEY = "AKIACANARY0000007XYZ"
SECRET = "canary+secret/0123456789abcdefghijklmnop"
TOKEN = "canary+token/" + "0123456789" * 20 + "=="
SIGNED = "s3://bucket/key?X-Amz-Signature=canary1&X-Amz-Credential=canary2%2F2026&X-Amz-Security-Token=canary3&x=y"
SHARED = "s3://bucket/key?sv=2026&se=canary4&sp=canary5&sig=canary6%3D"
PLAIN = "s3://bucket/key"


@dataclass
class Heard:
    """Everything that left the process where somebody could read it."""

    handler: io.StringIO = field(default_factory=io.StringIO)
    stderr: io.StringIO = field(default_factory=io.StringIO)
    told: list[str] = field(default_factory=list[str])
    kinds: set[str] = field(default_factory=set[str])

    def caught(self, error: BaseException) -> None:
        """Take in all that an exception shows of itself and of its causes."""
        self.kinds.add(type(error).__name__)
        self.told += traceback.format_exception(error)
        each: BaseException | None = error
        while each is not None:
            self.told += [str(each), repr(each), repr(each.args), *getattr(each, "__notes__", [])]
            if isinstance(each, s3dlio.S3dlioError):
                self.told += [repr(vars(each)), pickle.dumps(each).decode("latin-1")]
            each = each.__cause__ or each.__context__

    def of(self, work: Callable[[], object]) -> None:
        """Do something and take in its result or its error."""
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it may tell a secret
            self.caught(error)
            return
        self.told += [repr(result), pickle.dumps(result).decode("latin-1")]
        if isinstance(result, list):
            for each in result:
                if isinstance(each, Exception):
                    self.caught(each)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Heard]:
    """Listen at the lowest level, with canaries for credentials; at the end, no canary may have been heard."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    logger = logging.getLogger("s3dlio")
    before = logger.level, list(logger.handlers), list(logger.filters), logger.propagate
    logger.handlers, logger.filters = [], []
    heard = Heard()
    monkeypatch.setattr("sys.stderr", heard.stderr)
    init_logging("trace")
    logger.setLevel(1)
    logger.addHandler(logging.StreamHandler(heard.handler))
    s3dlio.init_op_log(tmp_path / "operations.tsv")
    try:
        yield heard
        s3dlio.finalize_op_log()
        output = capfd.readouterr()
        everything = [
            *heard.told,
            heard.handler.getvalue(),
            heard.stderr.getvalue(),
            output.out,
            output.err,
            (tmp_path / "operations.tsv").read_text(),
        ]
        assert [text for text in everything if "canary" in text.lower()] == []
    finally:
        s3dlio.finalize_op_log()
        s3dlio.reset()
        logger.level, logger.handlers, logger.filters, logger.propagate = before


def all_verbs(uri: str, heard: Heard, folder: Path) -> None:
    """Do everything there is with an object, in every way there is."""
    (folder / "file").write_bytes(b"content")
    for work in everything_done_with(uri, folder):
        heard.of(work)


def everything_done_with(uri: str, folder: Path) -> list[Callable[[], object]]:
    """Return a call of each verb."""
    return [
        lambda: s3dlio.get(uri),
        lambda: s3dlio.get_range(uri, 1, 2),
        lambda: s3dlio.put(uri, b"content"),
        lambda: s3dlio.put(uri, b"content", if_none_match=True),
        lambda: s3dlio.stat(uri),
        lambda: s3dlio.exists(uri),
        lambda: s3dlio.list(uri),
        lambda: s3dlio.delete(uri),
        lambda: s3dlio.delete(uri, recursive=True),
        lambda: s3dlio.copy(uri, f"{uri}2"),
        lambda: s3dlio.mkdir(uri),
        lambda: s3dlio.create_bucket("bucket"),
        s3dlio.list_containers,
        lambda: s3dlio.get_many([uri, uri], on_error="return"),
        lambda: s3dlio.get_many([uri]),
        lambda: s3dlio.put_many([(uri, b"content")]),
        lambda: s3dlio.stat_many([uri]),
        lambda: list(s3dlio.iter_many([uri])),
        lambda: asyncio.run(s3dlio.get_async(uri)),
        lambda: s3dlio.upload(folder / "file", uri),
        lambda: s3dlio.download(uri, folder / "down"),
    ]


def repeated(request: Asked) -> str:
    """Return all that a careless service would repeat of a request, as XML shows it."""
    fields = "\n".join(f"{name}: {value}" for name, value in request.fields.items())
    text = f"{request.method} {request.target}\n{fields}\n{ACCESS_KEY} {TOKEN} {TOKEN[:70]}"
    return text.replace("&", "&amp;").replace("<", "&lt;")


def refusing(status: int, code: str) -> Script:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        said = repeated(request)
        document = (
            f"<Error><Code>{code}</Code><Message>{said}</Message><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId>"
            f"<RequestId>{TOKEN}</RequestId><HostId>canary</HostId></Error>"
        )
        return [response(status, document.encode(), x_amz_request_id=TOKEN, Set_Cookie="session=canary7")]

    return script


FAULTS: dict[str, Script] = {
    "denied": refusing(403, "AccessDenied"),
    "signature": refusing(403, "SignatureDoesNotMatch"),
    "expired": refusing(400, "ExpiredToken"),
    "failing": refusing(500, "InternalError"),
    "missing": refusing(404, "NoSuchKey"),
    "a code that is a secret": refusing(400, TOKEN),
    "redirecting": lambda request: [
        response(307, Location="https://user:canary8@elsewhere/key?X-Amz-Signature=canary9")
    ],
    "garbage": lambda request: [f"{TOKEN} {request.fields['authorization']}\r\n\r\n".encode()],
    "a garbled head": lambda request: [f"HTTP/1.1 200 OK\r\n{TOKEN}\r\n\r\n".encode()],
    "a wrong length": lambda request: [response(200, b"x", Content_Length=TOKEN)],
    "healthy": lambda request: [part(request, b"content")],
}


@pytest.mark.parametrize("uri", [PLAIN, SIGNED, SHARED], ids=["plain", "presigned", "shared access"])
@pytest.mark.parametrize("fault", FAULTS)
def test_S7_no_secret_is_told_when_the_service_is(fault: str, uri: str, heard: Heard, tmp_path: Path) -> None:
    with scripted(FAULTS[fault]) as server:
        s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1", max_attempts=1)
        all_verbs(uri, heard, tmp_path)
        assert server.asked[0].fields["x-amz-security-token"] == TOKEN
        store = store_for(parse(PLAIN))
        heard.told += [repr(store), repr(vars(store))]


def test_S7_no_secret_is_told_of_an_attempt_that_is_made_again(heard: Heard) -> None:
    for code in ("SlowDown", "InternalError"):
        with scripted(refusing(503, code)) as server:
            s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1", max_attempts=2)
            heard.of(lambda: s3dlio.get(SIGNED))
            assert len(server.asked) == 2
    assert heard.kinds == {"ThrottledError", "ServerError"}
    assert "attempt 1 failed" in heard.handler.getvalue()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_S7_no_secret_is_told_when_there_is_no_service(scheme: str, heard: Heard, tmp_path: Path) -> None:
    with scripted(lambda request: []) as server:
        gone = f"{scheme}://127.0.0.1:{server.port}"
        if scheme == "https":  # there, but without TLS
            s3dlio.configure(endpoint_url=gone, region="us-east-1", max_attempts=1, connect_timeout=0.2)
            all_verbs(SIGNED, heard, tmp_path)
    s3dlio.configure(endpoint_url=gone, region="us-east-1", max_attempts=1, connect_timeout=5.0)
    all_verbs(SIGNED, heard, tmp_path)
    assert "NetworkError" in heard.kinds


@pytest.mark.parametrize(
    "uri",
    [
        "s3://user:canary@bucket/key",
        "s3://canary@bucket/key?sig=canary",
        "https://user:canary@bucket/key?X-Amz-Signature=canary",
        "bucket/key?sig=canary",
        "az://account/?sig=canary",
        "s3://bucket/" + "k" * 1025 + "?X-Amz-Signature=canary",
        "s3://bucket/\0?X-Amz-Signature=canary",
        "s3://bucket/\ud800?X-Amz-Signature=canary",
    ],
)
def test_S7_no_secret_is_told_of_a_uri_that_is_none(uri: str, heard: Heard, tmp_path: Path) -> None:
    all_verbs(uri, heard, tmp_path)
    heard.of(lambda: s3dlio.init_op_log(uri))
    assert heard.kinds


def test_S7_no_secret_is_told_of_an_endpoint_or_a_metadata_service(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3dlio.configure(endpoint_url="http://user:canary@127.0.0.1:1")
    heard.of(lambda: s3dlio.get(PLAIN))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    said = b'{"AccessKeyId": "AKIACANARY0000008XYZ", "SecretAccessKey": "canary-one", "Token": "canary-two"'
    for status in (200, 403):
        with scripted(lambda request, status=status: [response(status, said)]) as server:  # type: ignore[misc]
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.endpoint}/?sig=canary")
            s3dlio.configure(endpoint_url="http://127.0.0.1:1", region="us-east-1")
            heard.of(lambda: s3dlio.get(PLAIN))
    assert heard.kinds == {"InvalidUriError", "CredentialsError"}


def test_S7_a_traceback_in_the_log_tells_no_secret(heard: Heard) -> None:
    logger = logging.getLogger("s3dlio")
    word = SECRET[:6]
    try:
        raise ValueError(f"authorization: {word}, {SIGNED}")
    except ValueError:
        logger.exception("it failed for %s, with %s", SIGNED, {"x-amz-security-token": word})
    logging.getLogger("s3dlio.http").error("and for %s", SHARED)
    text = heard.handler.getvalue()
    assert "it failed for s3://bucket/key?X-Amz-Signature=***" in text
    assert "ValueError: authorization: ***" in text
    assert "and for s3://bucket/key?sv=***&se=***&sp=***&sig=***" in text


class TestRedaction:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("s3://b/k?X-Amz-Signature=c&X-Amz-Expires=5", "s3://b/k?X-Amz-Signature=***&X-Amz-Expires=***"),
            (
                "https://h/k?AWSAccessKeyId=c&Signature=c&Expires=1",
                "https://h/k?AWSAccessKeyId=***&Signature=***&Expires=1",
            ),
            ("/k?X-Goog-Signature=c&X-Goog-Credential=c", "/k?X-Goog-Signature=***&X-Goog-Credential=***"),
            ("az://a/c/k?sv=1&se=2&sp=r&sig=c%3D", "az://a/c/k?sv=***&se=***&sp=***&sig=***"),
            ("/b/k%3FX-Amz-Signature%3Dc", "/b/k%3FX-Amz-Signature%3D***"),
            ("AccountName=n;AccountKey=c==;EndpointSuffix=e", "AccountName=n;AccountKey=***;EndpointSuffix=e"),
            ("SharedAccessSignature=sv=1&sig=c", "SharedAccessSignature=***"),
            ("http://u:c@proxy:80", "http://***@proxy:80"),
            ("Authorization: AWS4-HMAC-SHA256 Credential=c\nhost: h", "Authorization: ***\nhost: h"),
            ("said AWS4-HMAC-SHA256 Credential=c/2026, Signature=c", "said AWS4-HMAC-SHA256 ***"),
            ("Bearer abcdefghijklmnop.c", "Bearer ***"),
            ("x-amz-security-token: c", "x-amz-security-token: ***"),
            ("x-goog-encryption-key: c", "x-goog-encryption-key: ***"),
            ("Set-Cookie: a=c; Path=/", "Set-Cookie: ***"),
            ("<SecretAccessKey>c</SecretAccessKey>", "<SecretAccessKey>***</SecretAccessKey>"),
            ('{"SecretAccessKey": "c", "SessionToken": "c"}', '{"SecretAccessKey": "***", "SessionToken": "***"}'),
            ("aws_secret_access_key = c", "aws_secret_access_key = ***"),
            ("AKIAIOSFODNN7ABCDWXY", "***DWXY"),
        ],
    )
    def test_takes_out_what_is_written_as_a_credential(self, text: str, shown: str) -> None:
        assert redaction.redact(text) == shown

    @pytest.mark.parametrize(
        "key",
        [
            "what?",
            "a?b=c&d=e",
            "a?se=1&sp=2",
            "signature=1/part-0.parquet",
            "credential=x/token=y/part",
            "design/sig",
            "Bearer of bad news.txt",
            "a@b/c@d",
            "authorization header.md",
            "secrets/tokens.json",
            "AKIA",
            "100%",
            "x%3Dy",
        ],
    )
    def test_leaves_a_key_as_it_is(self, key: str) -> None:
        for uri in (f"s3://bucket/{key}", f"file:///{key}"):
            assert redaction.redact(uri) == uri
            assert s3dlio.NotFoundError(f"there is no object {uri}", uri).uri == uri

    @given(st.text(st.characters(exclude_characters="=:@"), max_size=200))
    def test_leaves_every_key_without_a_sign_of_an_assignment_as_it_is(self, key: str) -> None:
        if not re.search(r"(?i)%3d|AKIA|ASIA|bearer|sharedkey", key):
            assert redaction.redact(f"s3://bucket/{key}") == f"s3://bucket/{key}"

    def test_takes_out_a_secret_in_use_whole_cut_off_or_encoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("s3dlio.redaction._known", ())
        redaction.remember(SECRET, None, "short")
        assert (
            redaction.redact(f"a {SECRET} b {SECRET[:20]} c canary%2Bsecret%2F0123456789 short")
            == "a *** b *** c *** short"
        )

    def test_remembers_so_many_secrets_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("s3dlio.redaction._known", ())
        for number in range(1000):
            redaction.remember(f"{number:016}-secret")
        assert redaction.redact("0000000000000999-secret 0000000000000001-secret") == "*** 0000000000000001-secret"
