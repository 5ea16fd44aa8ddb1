"""How a client talks to storage."""

from __future__ import annotations

from dataclasses import dataclass

from s3dlio_compat.s3torchconnector.exceptions import S3Exception

_SMALLEST_PART = 5 << 20
_LARGEST_PART = 5 << 30


@dataclass(frozen=True)
class S3ClientConfig:
    """Options of a client; hashable and picklable.

    `part_size` is in bytes, `max_attempts` counts the first one. `throughput_target_gbps` is accepted and has no
    effect: s3dlio is as fast as it can be. With `force_path_style` the bucket is in the path of a request, not in the
    host. `unsigned` sends no credentials. With `requester_pays` the one who asks is billed.
    """

    throughput_target_gbps: float = 10.0
    part_size: int = 8 << 20
    unsigned: bool = False
    force_path_style: bool = False
    max_attempts: int = 10
    profile: str | None = None
    requester_pays: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be: nobody is billed for a request without a name."""
        if self.unsigned and self.requester_pays:
            raise ValueError("requester_pays needs signed requests: leave unsigned=True out")

    def check(self) -> None:
        """Refuse sizes and counts that no client can have; called before the first request.

        Raises:
            S3Exception: one of them is out of range.
        """
        if not _SMALLEST_PART <= self.part_size <= _LARGEST_PART:
            raise S3Exception("invalid configuration: part size must be at between 5MiB and 5GiB")
        if self.max_attempts < 1:
            raise S3Exception(f"invalid configuration: max_attempts must be 1 or more, not {self.max_attempts}")
