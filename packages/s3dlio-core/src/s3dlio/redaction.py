"""What a secret looks like in text, and how it is taken out where text leaves the process.

Keys are opaque, so nothing is cut off at a `?`: only what is written as a credential goes (a parameter of a presigned
URL, a header, a user name in an authority), and the secrets that this process itself has in use.
"""

from __future__ import annotations

import re
from re import Pattern
from urllib.parse import quote

_GONE = "***"
_SHORTEST = 16  # characters: a shorter secret may be a word of the sentence around it
_MOST = 64  # secrets remembered: those in use, and some that were replaced a while ago

# A text without any of these words is returned at once: nearly all are.
_HINTS = (
    *("@", "x-amz-", "x-goog-", "x-ms-", "sig", "accesskey", "access_key", "accessid", "accountkey", "sharedkey"),
    *("token", "secret", "authorization", "set-cookie", "bearer", "akia", "asia", "-sha256"),
)

# A parameter as it stands in a URL, or percent-encoded as a server repeats it.
_AND, _IS, _VALUE = r"(?:[?&;]|%3[Ff]|%26)", r"(?:=|%3[Dd])", r"[^\s&;,\"'<>()\[\]{}|\\]*"
_SHARED_START = rf"(?:{_AND}|^|(?<=[\s\"'=]))"
_RULES: tuple[tuple[Pattern[str], str], ...] = (
    # Headers, to the end of the line.
    (
        re.compile(
            r"(?i)(?<![\w-])((?:proxy-)?authorization|x-amz-security-token|x-amz-credential|x-goog-[a-z-]+|set-cookie"
            r"|x-ms-copy-source-authorization)([\"']?\s*:\s*)[^\r\n]+"
        ),
        rf"\1\2{_GONE}",
    ),
    # The value of such a header alone.
    (re.compile(r"((?:AWS4|GOOG4)-[A-Z0-9-]+-SHA256) Credential=[^\r\n]+"), rf"\1 {_GONE}"),
    (re.compile(r"(Bearer|SharedKey(?:Lite)?) [\w.~+/:-]{16,}=*"), rf"\1 {_GONE}"),
    # Connection strings.
    (re.compile(r"(?i)((?:accountkey|sharedaccesssignature|sharedaccesskey)=)[^;\s\"'<>]*"), rf"\1{_GONE}"),
    # Parameters of presigned URLs: of version 4 wherever they stand, of version 2 as part of a query.
    (re.compile(rf"(?i)((?<![\w-])(?:x-amz|x-goog|x-ms)-[a-z-]+{_IS}){_VALUE}"), rf"\1{_GONE}"),
    (re.compile(rf"(?i)({_AND}(?:x-amz|x-goog|x-ms)-[a-z-]+{_IS}){_VALUE}"), rf"\1{_GONE}"),
    (re.compile(rf"(?i)({_AND}(?:awsaccesskeyid|googleaccessid|signature|access_token){_IS}){_VALUE}"), rf"\1{_GONE}"),
    # Keys as files, JSON and XML spell them.
    (
        re.compile(r"(?i)((?:secret_?access_?key|session_?token|(?<=[<\"])token)[\"']?\s*[=:>]\s*[\"']?)[^\s\"'<>,;]+"),
        rf"\1{_GONE}",
    ),
    (re.compile(r"(?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{8,}([A-Z0-9]{4})(?![A-Z0-9])"), rf"{_GONE}\1"),
    # The user name and password of an authority.
    (re.compile(r"://[^/?#\s\"'<>@]*@"), f"://{_GONE}@"),
)
# A shared access signature: the other parameters are too short to be told from a key's own, so `sig` must be there.
_SHARED = re.compile(rf"{_SHARED_START}sig{_IS}")
_SHARED_PART = re.compile(rf"({_SHARED_START}(?:s[a-z]{{1,2}}|sig|spr|sip|sk[a-z]+){_IS}){_VALUE}")

_known: tuple[tuple[str, Pattern[str]], ...] = ()


def remember(*secrets: str | None) -> None:
    """Have these taken out wherever they stand, also cut off or percent-encoded, for as long as the process lives."""
    global _known
    for secret in secrets:
        for text in (secret, quote(secret, safe="")) if secret else ():
            head = text[:_SHORTEST]
            if len(head) == _SHORTEST and all(head != other for other, _ in _known):
                _known = (*_known, (head, re.compile(re.escape(head) + r"[\w%+/=.~-]*")))[-_MOST:]


def redact(text: str) -> str:
    """Return the text without its secrets; one that holds none is returned as it is."""
    for head, pattern in _known:
        if head in text:
            text = pattern.sub(_GONE, text)
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return _SHARED_PART.sub(rf"\1{_GONE}", text) if _SHARED.search(text) else text
