"""URIs as bucket and key.

The bucket of an `s3://` URI is its plain name. Other schemes keep theirs: `gs://bucket`, `az://account/container`, and
`file://`, whose keys are absolute paths.
"""

from __future__ import annotations

_ONLY_S3 = "Only s3:// URIs are supported"
_NO_BUCKET = "Bucket name must be non-empty"
_PARTS = {"s3": 1, "gs": 1, "gcs": 1, "az": 2, "azure": 2, "file": 0, "direct": 0}


def parse_s3_uri(uri: str | None) -> tuple[str, str]:
    """Split a URI into bucket and key; nothing in the key is decoded.

    Raises:
        ValueError: another scheme, or no bucket.
    """
    scheme, separator, rest = (uri or "").partition("://")
    parts = _PARTS.get(scheme)
    if not separator or parts is None:
        raise ValueError(f"{_ONLY_S3}" if not uri or scheme in ("s3a", "s3n") else _unsupported(uri))
    if parts == 0:
        return f"{scheme}://", rest
    names = rest.split("/", parts)
    if not all(names[:parts]) or len(names) < parts:
        raise ValueError(_NO_BUCKET)
    bucket = "/".join(names[:parts])
    key = names[parts] if len(names) > parts else ""
    return (bucket if scheme == "s3" else f"{scheme}://{bucket}"), key


def uri_of(bucket: str, key: str) -> str:
    """Return the URI of an object."""
    if "://" not in bucket:
        return f"s3://{bucket}/{key}"
    return f"{bucket}{key}" if bucket.endswith("://") else f"{bucket}/{key}"


def _unsupported(uri: str) -> str:
    return f"{_ONLY_S3}, and gs://, az://, file:// and direct://: {uri!r:.200} is none of them"
