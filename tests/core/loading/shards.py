"""Shards of records as others write them, and what their samples hold."""

import io
import struct
import tarfile
from dataclasses import dataclass
from typing import Any

import numpy as np

import s3dlio
from s3dlio.checksum import crc32c
from s3dlio.formats import tfrecord
from s3dlio.loading import Format

FLOAT_TIME = 1.5  # Python's own format, pax, tells a time with a fraction in an extended header


def content(number: int) -> bytes:
    """Return the payload of a sample, which tells its number and has a size of its own."""
    return f"{number}:".encode() + bytes(number % 600)


def masked(data: bytes) -> bytes:
    """Return the masked sum of the TFRecord format's description."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def frame(payload: bytes) -> bytes:
    """Return a TFRecord frame around a payload."""
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def frames(payloads: list[bytes]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return offset and length of the frame of each payload in a file of them."""
    lengths = np.array([len(payload) + 16 for payload in payloads], np.int64)
    return np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)


def archive(numbers: range, format: int = tarfile.DEFAULT_FORMAT, time: float = 0) -> bytes:
    """Return an archive in the layout of WebDataset, as Python writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as writer:
        for number in numbers:
            for extension, data in (("jpg", content(number)), ("cls", b"%d" % (number % 10))):
                info = tarfile.TarInfo(f"{number:06}.{extension}")
                info.size, info.mtime = len(data), time
                writer.addfile(info, io.BytesIO(data))
    return file.getvalue()


def wds2idx(data: bytes) -> bytes:
    """Return the index of an archive that DALI's wds2idx writes."""
    lines: dict[str, list[str]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as reader:
        for each in reader:
            key, _, extension = each.name.partition(".")
            lines.setdefault(key, []).append(f"{extension} {each.offset_data} {each.size} {each.name}")
    return f"v1.2 {len(lines)}\n{''.join(' '.join(parts) + chr(10) for parts in lines.values())}".encode()


@dataclass(frozen=True)
class Kind:
    """A kind of shard: its format, and what its archives are like if it is one."""

    decode: Format
    archives: int = tarfile.USTAR_FORMAT
    time: float = 0

    def shard(self, numbers: range) -> bytes:
        """Return a shard of these samples."""
        if self.decode == "tar":
            return archive(numbers, self.archives, self.time)
        return b"".join(frame(content(number)) for number in numbers)

    def index(self, numbers: range) -> bytes:
        """Return the index of that shard: lines of text, as DALI reads them."""
        if self.decode == "tar":
            return wds2idx(self.shard(numbers))
        return tfrecord.build_index(frames([*map(content, numbers)]), "dali")

    def put(self, root: str, each: int, shards: int, suffix: str | None = None) -> None:
        """Store so many shards of so many samples, with an index beside them whose name ends so."""
        for shard in range(shards):
            numbers = range(shard * each, (shard + 1) * each)
            s3dlio.put(f"{root}{shard:02}.{self.decode}", self.shard(numbers))
            if suffix is not None:
                s3dlio.put(f"{root}{shard:02}{suffix}", self.index(numbers))

    def sample(self, number: int) -> Any:
        """Return what a sample decodes to, as plain bytes."""
        if self.decode == "tar":
            return {"__key__": f"{number:06}", "jpg": content(number), "cls": b"%d" % (number % 10)}
        return content(number)


USTAR = Kind("tar")
PAX = Kind("tar", tarfile.DEFAULT_FORMAT)
EXTENDED = Kind("tar", tarfile.DEFAULT_FORMAT, FLOAT_TIME)
TFRECORD = Kind("tfrecord")


def plain(decoded: Any) -> Any:
    """Return a decoded sample with its memory as bytes."""
    if isinstance(decoded, dict):
        return {name: each if isinstance(each, str) else bytes(each) for name, each in decoded.items()}
    return bytes(decoded)
