"""The certificate of the origins with TLS: made anew for each run, from an authority of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files of PEM: the authority that clients are to trust, and the origin's certificate with its key."""

    authority: Path
    origin: Path


def issue(folder: Path) -> Certificate:
    """Write both files into a folder. The key never leaves it."""
    made = Certificate(folder / "authority.pem", folder / "origin.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(made.authority))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(made.origin))
    return made
