"""The faults: what becomes of a request, or of the answer to it. `faulty.orders` says how a key asks for one."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from tests.servers.faulty.dialect import Dialect, Reply, taken_apart
from tests.servers.faulty.signature import Refused
from tests.servers.scripted import CLOSE, RESET, STALL, Asked, Drip, Piece

READS = frozenset(("get",))
LISTS = frozenset(("list",))
BODIES = frozenset(("put", "part"))
ALL = frozenset(
    ("get", "head", "put", "part", "start", "complete", "abort", "list", "delete", "batch", "copy", "copypart")
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A request that something happens to."""

    asked: Asked
    dialect: Dialect
    chance: random.Random

    def healthy(self) -> Reply:
        """Carry out the request and return what would have been answered."""
        return self.dialect.answer(self.asked)

    def refused(self, status: int, code: str, *fields: tuple[str, str]) -> Reply:
        """Return a refusal in the service's words."""
        return self.dialect.refuse(self.asked, Refused(status, code, "said by a fault", fields))


Act = Callable[[Scene], Iterable[Piece]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: the calls it applies to, what it does, and whether it does so before the body is read."""

    act: Act
    calls: frozenset[str] = ALL
    early: bool = False


def _whole(reply: Reply, *extra: str) -> bytes:
    return reply.head() + "".join(f"{line}\r\n" for line in extra).encode() + b"\r\n" + reply.body


def _with(reply: Reply, name: str, value: str | None) -> Reply:
    """Return the reply with a field of another value, or without it."""
    kept = [each for each in reply.fields if each[0].lower() != name.lower()]
    return replace(reply, fields=kept if value is None else [*kept, (name, value)])


def _says(status: int, code: str = "", *fields: tuple[str, str]) -> Act:
    return lambda scene: [scene.refused(status, code, *fields).wire()]


def _html(scene: Scene) -> list[Piece]:
    body = b"" if scene.asked.method == "HEAD" else b"<html><h1>Bad Gateway</h1></html>"
    return [Reply(502, [("Content-Type", "text/html")], body).wire()]


def _raw(data: bytes) -> Act:
    return lambda scene: [data, CLOSE]


def _half_head(end: Piece) -> Act:
    def act(scene: Scene) -> list[Piece]:
        head = scene.healthy().head()
        return [head[: scene.chance.randrange(1, len(head))], end]

    return act


def _cut(end: Piece) -> Act:
    def act(scene: Scene) -> list[Piece]:
        reply = scene.healthy()
        return [reply.head() + b"\r\n" + reply.body[: _inside(scene, reply)], end]

    return act


def _inside(scene: Scene, reply: Reply) -> int:
    return scene.chance.randrange(len(reply.body)) if reply.body else 0


def _drip(scene: Scene) -> list[Piece]:
    reply = scene.healthy()
    at = _inside(scene, reply)
    return [reply.head() + b"\r\n" + reply.body[:at], Drip(reply.body[at:], 0.02)]


def _flip(scene: Scene) -> list[Piece]:
    reply = scene.healthy()
    body = bytearray(reply.body)
    if body and reply.status < 300:
        body[_inside(scene, reply)] ^= 1 << scene.chance.randrange(8)
    return [replace(reply, body=bytes(body)).wire()]


def _junk(scene: Scene) -> list[Piece]:
    return [scene.healthy().wire() + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"]


def _chunked(*, ends: bool) -> Act:
    def act(scene: Scene) -> list[Piece]:
        reply = scene.healthy()
        if scene.asked.method == "HEAD" or reply.status == 204:
            return [reply.wire()]
        head = reply.head("content-length") + b"Transfer-Encoding: chunked\r\n\r\n"
        half = len(reply.body) // 2
        pieces = [b"%x;x=y\r\n%s\r\n" % (len(each), each) for each in (reply.body[:half], reply.body[half:]) if each]
        return [head, *pieces, b"0\r\nX-Trailer: 1\r\n\r\n"] if ends else [head, *pieces[:1], CLOSE]

    return act


def _without_length(scene: Scene) -> list[Piece]:
    reply = scene.healthy()
    return [reply.head("content-length") + b"\r\n" + reply.body[: _inside(scene, reply)], CLOSE]


def _interim(scene: Scene) -> list[Piece]:
    return [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + scene.healthy().wire()]


def _in_pieces(scene: Scene) -> list[Piece]:
    whole = scene.healthy().wire()
    cuts = sorted(scene.chance.randrange(len(whole)) for _ in range(7))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def _plain(*lines: str, end: tuple[Piece, ...] = ()) -> Act:
    return lambda scene: [_whole(scene.healthy(), *lines), *end]


def _ranged(change: Callable[[Scene, Reply, int, int, int], Reply]) -> Act:
    """Make a fault of an answer with a Content-Range; one without goes out as it is."""

    def act(scene: Scene) -> list[Piece]:
        reply = scene.healthy()
        said = re.search(r"bytes (\d+)-(\d+)/(\d+)", dict(reply.fields).get("Content-Range", ""))
        if said is None:
            return [reply.wire()]
        return [change(scene, reply, int(said[1]), int(said[2]), int(said[3])).wire()]

    return act


def _said(reply: Reply, text: str | None) -> Reply:
    return _with(reply, "Content-Range", text)


def _shifted(scene: Scene, reply: Reply, first: int, last: int, size: int) -> Reply:
    return _said(replace(reply, body=reply.body[1:]), f"bytes {first + 1}-{last}/{size}")


def _short(scene: Scene, reply: Reply, first: int, last: int, size: int) -> Reply:
    half = (first + last) // 2
    return _said(replace(reply, body=reply.body[: half + 1 - first]), f"bytes {first}-{half}/{size}")


def _unranged(scene: Scene) -> list[Piece]:
    """Answer a range with all of the object."""
    reply = scene.healthy()
    if reply.status == 206:
        stored = scene.dialect.storage.get(*_named(scene.asked))
        reply = replace(_said(reply, None), status=200, body=stored.content)
    return [reply.wire()]


def _named(asked: Asked) -> tuple[str, str]:
    question = taken_apart(asked)
    return question.bucket, question.key


def _status_200(scene: Scene, reply: Reply, first: int, last: int, size: int) -> Reply:
    return replace(_said(reply, None), status=200)


def _replaced(scene: Scene) -> list[Piece]:
    """Have somebody replace the object before the request is carried out."""
    bucket, key = _named(scene.asked)
    content = scene.dialect.storage.get(bucket, key).content
    scene.dialect.storage.fill(bucket, key, content[::-1])
    return [scene.healthy().wire()]


def _replaced_unpinned(scene: Scene) -> list[Piece]:
    """The same on a server that ignores If-Match."""
    bucket, key = _named(scene.asked)
    content = scene.dialect.storage.get(bucket, key).content
    stored = scene.dialect.storage.fill(bucket, key, content[::-1])
    fields = [("ETag", stored.etag)]
    asks = re.fullmatch(r"bytes=(\d+)-(\d+)", scene.asked.fields.get("range", ""))
    if asks is None:
        return [Reply(200, fields, stored.content).wire()]
    start, end = int(asks[1]), min(int(asks[2]) + 1, len(content))
    return [
        Reply(
            206, [*fields, ("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")], stored.content[start:end]
        ).wire()
    ]


def _other_etag(scene: Scene) -> list[Piece]:
    return [_with(scene.healthy(), "ETag", f'"{scene.chance.getrandbits(64):x}"').wire()]


def _lost(scene: Scene) -> list[Piece]:
    scene.healthy()
    return [RESET]


def _refused_early(scene: Scene) -> list[Piece]:
    return [_whole(scene.refused(403, "AccessDenied"), "Connection: close"), CLOSE]


def _error_in_200(code: str) -> Act:
    return lambda scene: [replace(scene.refused(500, code), status=200).wire()]


def _document(change: Callable[[Scene, bytes], bytes]) -> Act:
    def act(scene: Scene) -> list[Piece]:
        reply = scene.healthy()
        return [replace(reply, body=change(scene, reply.body)).wire()]

    return act


def _cut_xml(scene: Scene, body: bytes) -> bytes:
    return body[: scene.chance.randrange(1, len(body) - 1)]


def _without_token(scene: Scene, body: bytes) -> bytes:
    body = body.replace(b"<IsTruncated>false", b"<IsTruncated>true")
    return re.sub(rb"<NextContinuationToken>.*</NextContinuationToken>", b"", body)


def _same_token(scene: Scene, body: bytes) -> bytes:
    token = b"<NextContinuationToken>c2FtZQ==</NextContinuationToken></ListBucketResult>"
    cut = re.sub(rb"<NextContinuationToken>.*</NextContinuationToken>", b"", body)
    return cut.replace(b"<IsTruncated>false", b"<IsTruncated>true").replace(b"</ListBucketResult>", token)


def _stranger(scene: Scene, body: bytes) -> bytes:
    row = b"<Contents><Key>elsewhere/x</Key><Size>1</Size></Contents></ListBucketResult>"
    return body.replace(b"</ListBucketResult>", row)


_FIELDS = b"".join(b"X-%d: a\r\n" % number for number in range(201))
_SHORT = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'

KINDS: Mapping[str, Kind] = {
    # no answer
    "close": Kind(lambda scene: [CLOSE]),
    "reset": Kind(lambda scene: [RESET]),
    "stall": Kind(lambda scene: [STALL]),
    "half-head": Kind(_half_head(CLOSE)),
    "half-head-reset": Kind(_half_head(RESET)),
    "half-head-stall": Kind(_half_head(STALL)),
    # answers that mean "later"
    "500": Kind(_says(500, "InternalError")),
    "502": Kind(_html),
    "503": Kind(_says(503, "ServiceUnavailable")),
    "504": Kind(_says(504)),
    "slowdown": Kind(_says(503, "SlowDown", ("Retry-After", "0"))),
    "slowdown-ms": Kind(_says(503, "SlowDown", ("x-amz-retry-after", "1"))),
    "429": Kind(_says(429)),
    "408": Kind(_says(408)),
    "timeout": Kind(_says(400, "RequestTimeout")),
    # answers that mean "no"
    "400": Kind(_says(400, "InvalidArgument")),
    "403": Kind(_says(403, "AccessDenied")),
    "expired": Kind(_says(400, "ExpiredToken")),
    "skewed": Kind(lambda scene: [scene.refused(403, "RequestTimeTooSkewed").wire()]),
    "no-key": Kind(_says(404, "NoSuchKey")),
    "no-bucket": Kind(_says(404, "NoSuchBucket")),
    "no-upload": Kind(_says(404, "NoSuchUpload"), frozenset(("part", "complete"))),
    "moved": Kind(_says(301, "PermanentRedirect", ("x-amz-bucket-region", "no region at all"))),
    "redirect": Kind(_says(307, "TemporaryRedirect", ("Location", "http://127.0.0.1:1/"))),
    "304": Kind(_says(304)),
    "412": Kind(_says(412, "PreconditionFailed")),
    "501": Kind(_says(501, "NotImplemented")),
    # what is no clear HTTP
    "no-http": Kind(_raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "no-status": Kind(_raw(b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n")),
    "long-head": Kind(_raw(_SHORT + b"X: " + b"a" * 70_000 + b"\r\n\r\n")),
    "many-fields": Kind(_raw(_SHORT + _FIELDS + b"Content-Length: 0\r\n\r\n")),
    "two-framings": Kind(_raw(_SHORT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    "two-lengths": Kind(_raw(_SHORT + b"Content-Length: 0\r\nContent-Length: 4\r\n\r\nabcd")),
    "negative-length": Kind(_raw(_SHORT + b"Content-Length: -3\r\n\r\nabc")),
    "folded": Kind(_raw(_SHORT + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n")),
    "bare-lf": Kind(_raw(b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n")),
    "switched": Kind(_raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")),
    # odd, and healthy
    "interim": Kind(_interim),
    "last": Kind(_plain("Connection: close", end=(CLOSE,))),
    "pieces": Kind(_in_pieces),
    "chunked": Kind(_chunked(ends=True)),
    "gzip": Kind(_plain("Content-Encoding: gzip"), READS),
    # bodies
    "truncate": Kind(_cut(CLOSE), READS | LISTS),
    "truncate-reset": Kind(_cut(RESET), READS | LISTS),
    "body-stall": Kind(_cut(STALL), READS | LISTS),
    "drip": Kind(_drip, READS | LISTS),
    "flip": Kind(_flip, READS),
    "junk": Kind(_junk),
    "chunks-open": Kind(_chunked(ends=False), READS | LISTS),
    "unbounded": Kind(_without_length, READS),
    # ranges and versions
    "range-off": Kind(_ranged(lambda scene, reply, a, b, n: _said(reply, f"bytes {a + 1}-{b + 1}/{n + 1}")), READS),
    "range-shifted": Kind(_ranged(_shifted), READS),
    "range-short": Kind(_ranged(_short), READS),
    "range-missing": Kind(_ranged(lambda scene, reply, a, b, n: _said(reply, None)), READS),
    "range-unclear": Kind(_ranged(lambda scene, reply, a, b, n: _said(reply, f"items {a}-{b}/{n}")), READS),
    "range-endless": Kind(_ranged(lambda scene, reply, a, b, n: _said(reply, f"bytes {a}-{b}/*")), READS),
    "size-changed": Kind(_ranged(lambda scene, reply, a, b, n: _said(reply, f"bytes {a}-{b}/{n + 1}")), READS),
    "range-200": Kind(_ranged(_status_200), READS),
    "unranged": Kind(_unranged, READS),
    "no-etag": Kind(lambda scene: [_with(scene.healthy(), "ETag", None).wire()], READS),
    "other-etag": Kind(_other_etag, READS),
    "replaced": Kind(_replaced, READS),
    "replaced-unpinned": Kind(_replaced_unpinned, READS),
    # writes
    "lost": Kind(_lost, BODIES | {"complete", "delete", "batch", "copy", "abort"}),
    "refused-early": Kind(_refused_early, BODIES, early=True),
    "deaf": Kind(lambda scene: [STALL], BODIES, early=True),
    "no-part-etag": Kind(lambda scene: [_with(scene.healthy(), "ETag", None).wire()], frozenset(("part",))),
    "error-in-200": Kind(_error_in_200("InternalError"), frozenset(("complete", "copy"))),
    "refusal-in-200": Kind(_error_in_200("AccessDenied"), frozenset(("complete", "copy"))),
    # listings
    "cut-xml": Kind(_document(_cut_xml), LISTS),
    "no-token": Kind(_document(_without_token), LISTS),
    "same-token": Kind(_document(_same_token), LISTS),
    "stranger": Kind(_document(_stranger), LISTS),
    "no-xml": Kind(_document(lambda scene, body: b"<html><p>Welcome</html>"), LISTS),
    "nothing": Kind(_document(lambda scene, body: b""), LISTS | {"complete", "copy", "batch", "start"}),
}
