"""The S3 API over what is stored: a request becomes a reply, and every rule that it breaks a refusal.

Path style only. Written from the Amazon S3 API reference; what a header may say is checked, never assumed.
"""

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from tests.servers.faulty import documents
from tests.servers.faulty.signature import Account, Refused, check
from tests.servers.faulty.storage import Fields, RefusalError, Storage, Stored, check_sums, made, told_crc
from tests.servers.scripted import Asked

_RANGE = re.compile(r"bytes=(\d*)-(\d*)").fullmatch
_COPIED_RANGE = re.compile(r"bytes=(\d+)-(\d+)").fullmatch
_KEPT = ("content-type", "content-encoding", "cache-control", "content-disposition", "content-language")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is put on the wire. `length` is what the head announces when there is no body to count."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes = b""
    length: int | None = None

    def head(self, *without: str) -> bytes:
        """Return the status line and the fields, and no empty line yet."""
        lines = [f"HTTP/1.1 {self.status} Said", *[f"{name}: {value}" for name, value in self.fields]]
        if "content-length" not in without and self.status != 204:
            lines.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n"

    def wire(self) -> bytes:
        """Return the answer as it goes out."""
        return self.head() + b"\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Question:
    """A request taken apart."""

    asked: Asked
    bucket: str
    key: str
    query: Fields

    @property
    def fields(self) -> Fields:
        """The header fields."""
        return self.asked.fields


def taken_apart(asked: Asked) -> Question:
    """Return what a request is about; the key is what the raw path says, dots and empty segments included."""
    path, _, text = asked.target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    pairs = [each.partition("=") for each in text.split("&") if each]
    query = {_text(name): _text(value) for name, _, value in pairs}
    return Question(asked, _text(bucket), _text(key), query)


def _text(quoted: str) -> str:
    try:
        return unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        raise RefusalError(400, "InvalidURI", "the path is not UTF-8") from None


class Dialect:
    """Answers requests as S3 does."""

    def __init__(self, storage: Storage, account: Account | None, *, page: int = 1000) -> None:
        self.storage = storage
        self.account = account
        self.page = page
        self._ids = itertools.count(1)

    def answer(self, asked: Asked) -> Reply:
        """Carry out a request."""
        refused = check(asked, self.account) if self.account is not None else None
        if refused is not None:
            return self.refuse(asked, refused)
        try:
            question = taken_apart(asked)
            reply = self._verb(question)(question)
        except RefusalError as problem:
            return self.refuse(asked, problem.refused)
        return Reply(reply.status, [*reply.fields, *self._common()], reply.body, reply.length)

    def refuse(self, asked: Asked, refused: Refused) -> Reply:
        """Return the answer that a refusal is; HEAD has no document."""
        common = [*self._common(), *refused.fields]
        if refused.code == "AuthorizationHeaderMalformed" and self.account is not None:
            common.append(("x-amz-bucket-region", self.account.regions[0]))
        bodiless = asked.method == "HEAD" or refused.status in (304,)
        body = b"" if bodiless or not refused.code else documents.error(refused, common[0][1])
        return Reply(refused.status, common, body, 0 if bodiless else None)

    def _common(self) -> list[tuple[str, str]]:
        return [
            ("x-amz-request-id", f"request-{next(self._ids)}"),
            ("Date", documents.http_date(time.time())),
            ("Server", "faulty"),
        ]

    def _verb(self, question: Question) -> Callable[[Question], Reply]:
        if not question.bucket:
            return self._list_buckets
        method = question.asked.method
        verbs = self._of_object(question) if question.key else self._of_bucket(question)
        if method not in verbs:
            raise RefusalError(405, "MethodNotAllowed", f"{method} {question.asked.target}")
        return verbs[method]

    def _of_bucket(self, question: Question) -> Mapping[str, Callable[[Question], Reply]]:
        if "delete" in question.query:
            return {"POST": self._delete_batch}
        if "uploads" in question.query:
            return {"GET": self._list_uploads}
        return {
            "GET": self._list,
            "HEAD": self._head_bucket,
            "PUT": self._create_bucket,
            "DELETE": self._delete_bucket,
        }

    def _of_object(self, question: Question) -> Mapping[str, Callable[[Question], Reply]]:
        if "uploads" in question.query:
            return {"POST": self._start}
        if "uploadId" in question.query:
            part = self._copy_part if "x-amz-copy-source" in question.fields else self._part
            return {"PUT": part, "POST": self._complete, "DELETE": self._abort}
        put = self._copy if "x-amz-copy-source" in question.fields else self._put
        return {"GET": self._get, "HEAD": self._get, "PUT": put, "DELETE": self._delete}

    # Objects

    def _get(self, question: Question) -> Reply:
        stored = self.storage.get(question.bucket, question.key)
        _check_conditions(question.fields, stored)
        fields = _described(stored)
        size = len(stored.content)
        asks = _RANGE(question.fields.get("range", ""))
        status, start, end = 200, 0, size
        if asks is not None and asks[1] + asks[2]:
            start, end = _resolved(asks[1], asks[2], size)
            status = 206
            fields.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
        if question.fields.get("x-amz-checksum-mode") == "ENABLED":
            fields += _checksum(told_crc(stored, start, end))
        content = stored.content[start:end]
        if question.asked.method == "HEAD":
            return Reply(status, fields, b"", len(content))
        return Reply(status, fields, content)

    def _put(self, question: Question) -> Reply:
        body = question.asked.body
        check_sums(question.fields, body)
        stored = made(body, _kept(question.fields))
        self.storage.put(question.bucket, question.key, stored, question.fields)
        return Reply(200, _stored_fields(stored))

    def _delete(self, question: Question) -> Reply:
        with self.storage.lock:
            self.storage.bucket(question.bucket).pop(question.key, None)
        return Reply(204)

    def _copied(self, question: Question) -> Stored:
        bucket, _, key = _text(question.fields["x-amz-copy-source"].removeprefix("/")).partition("/")
        stored = self.storage.get(bucket, key)
        wanted = question.fields.get("x-amz-copy-source-if-match")
        if wanted is not None and wanted.strip('"') != stored.etag.strip('"'):
            raise RefusalError(412, "PreconditionFailed", "the source is another one")
        return stored

    def _copy(self, question: Question) -> Reply:
        source = self._copied(question)
        stored = made(source.content, source.fields)
        self.storage.put(question.bucket, question.key, stored, question.fields)
        told = [documents.leaf("LastModified", documents.stamp(stored.modified)), documents.leaf("ETag", stored.etag)]
        return Reply(200, [], documents.document("CopyObjectResult", *told))

    # Uploads

    def _start(self, question: Question) -> Reply:
        upload = self.storage.start(question.bucket, question.key, _kept(question.fields))
        told = [("Bucket", question.bucket), ("Key", question.key), ("UploadId", upload.id)]
        body = documents.document(
            "InitiateMultipartUploadResult", *[documents.leaf(name, text) for name, text in told if _printable(text)]
        )
        return Reply(200, [], body)

    def _part(self, question: Question) -> Reply:
        check_sums(question.fields, question.asked.body)
        stored = made(question.asked.body)
        self._keep_part(question, stored)
        return Reply(200, _stored_fields(stored))

    def _copy_part(self, question: Question) -> Reply:
        source = self._copied(question)
        asks = _COPIED_RANGE(question.fields.get("x-amz-copy-source-range", ""))
        stored = made(source.content[int(asks[1]) : int(asks[2]) + 1] if asks else source.content)
        self._keep_part(question, stored)
        told = [documents.leaf("ETag", stored.etag), documents.leaf("ChecksumCRC64NVME", stored.crc)]
        return Reply(200, [], documents.document("CopyPartResult", *told))

    def _keep_part(self, question: Question, stored: Stored) -> None:
        number = int(question.query.get("partNumber", "0"))
        if not 1 <= number <= 10_000:
            raise RefusalError(400, "InvalidArgument", "a part has a number from 1 to 10000")
        with self.storage.lock:
            self.storage.upload(question.query["uploadId"], question.bucket, question.key).parts[number] = stored

    def _complete(self, question: Question) -> Reply:
        check_sums(
            {name: value for name, value in question.fields.items() if name == "content-md5"}, question.asked.body
        )
        upload = self.storage.upload(question.query["uploadId"], question.bucket, question.key)
        whole = self.storage.complete(upload, documents.parts_of(question.asked.body), question.fields)
        told = [("ETag", whole.etag), ("ChecksumCRC64NVME", whole.crc), ("ChecksumType", "FULL_OBJECT")]
        body = documents.document("CompleteMultipartUploadResult", *[documents.leaf(*each) for each in told])
        return Reply(200, [], body)

    def _abort(self, question: Question) -> Reply:
        with self.storage.lock:
            del self.storage.uploads[self.storage.upload(question.query["uploadId"], question.bucket, question.key).id]
        return Reply(204)

    # Buckets

    def _list(self, question: Question) -> Reply:
        if question.query.get("list-type") != "2":
            raise RefusalError(501, "NotImplemented", f"GET {question.asked.target}")
        page = documents.page_of(self.storage, question.bucket, question.query, self.page)
        body = documents.listing(self.storage, question.bucket, question.query, page)
        return Reply(200, [("Content-Type", "application/xml")], body)

    def _list_uploads(self, question: Question) -> Reply:
        self.storage.bucket(question.bucket)
        return Reply(200, [], documents.uploads([*self.storage.uploads.values()], question.bucket, question.query))

    def _delete_batch(self, question: Question) -> Reply:
        sums = [name for name in question.fields if name == "content-md5" or name.startswith("x-amz-checksum-")]
        if not sums:
            raise RefusalError(400, "InvalidRequest", "a checksum of the body is missing")
        check_sums(question.fields, question.asked.body)
        keys, quiet = documents.keys_of(question.asked.body)
        with self.storage.lock:
            for key in keys:
                self.storage.bucket(question.bucket).pop(key, None)
        told = [] if quiet else [f"<Deleted>{documents.leaf('Key', key)}</Deleted>" for key in keys]
        return Reply(200, [], documents.document("DeleteResult", *told))

    def _head_bucket(self, question: Question) -> Reply:
        self.storage.bucket(question.bucket)
        return Reply(200, [("x-amz-bucket-region", self.account.regions[0] if self.account else "us-east-1")])

    def _create_bucket(self, question: Question) -> Reply:
        with self.storage.lock:
            if question.bucket in self.storage.buckets:
                raise RefusalError(409, "BucketAlreadyOwnedByYou", "the bucket is there")
            self.storage.buckets[question.bucket] = {}
        return Reply(200, [("Location", f"/{question.bucket}")])

    def _delete_bucket(self, question: Question) -> Reply:
        with self.storage.lock:
            if self.storage.bucket(question.bucket):
                raise RefusalError(409, "BucketNotEmpty", "the bucket holds objects")
            del self.storage.buckets[question.bucket]
        return Reply(204)

    def _list_buckets(self, question: Question) -> Reply:
        return Reply(200, [], documents.buckets([*self.storage.buckets]))


def _check_conditions(fields: Fields, stored: Stored) -> None:
    wanted, unwanted = fields.get("if-match"), fields.get("if-none-match")
    if wanted is not None and wanted != "*" and wanted.strip('"') != stored.etag.strip('"'):
        raise RefusalError(412, "PreconditionFailed", "the object is another one")
    if unwanted == "*" or (unwanted is not None and unwanted.strip('"') == stored.etag.strip('"')):
        raise RefusalError(304, "", "")


def _resolved(first: str, last: str, size: int) -> tuple[int, int]:
    """Return start and end of a range, as RFC 9110 14.1.2 reads it."""
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= size or end <= start:
        raise RefusalError(416, "InvalidRange", f"the object has {size} bytes", ("Content-Range", f"bytes */{size}"))
    return start, end


def _kept(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name in _KEPT or name.startswith("x-amz-meta-")}


def _described(stored: Stored) -> list[tuple[str, str]]:
    return [
        ("ETag", stored.etag),
        ("Last-Modified", documents.http_date(stored.modified)),
        ("Accept-Ranges", "bytes"),
        *stored.fields.items(),
    ]


def _stored_fields(stored: Stored) -> list[tuple[str, str]]:
    return [("ETag", stored.etag), *_checksum(stored.crc)]


def _checksum(crc: str | None) -> list[tuple[str, str]]:
    return [] if crc is None else [("x-amz-checksum-crc64nvme", crc), ("x-amz-checksum-type", "FULL_OBJECT")]


def _printable(text: str) -> bool:
    return text.isprintable()
