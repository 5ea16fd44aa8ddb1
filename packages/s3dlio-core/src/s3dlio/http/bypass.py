"""The hosts that are reached without a proxy, as NO_PROXY lists them.

There is no standard. What curl, Go and Python agree on is meant here: a name stands for itself and what is below it,
with or without a dot or `*.` before it; an address for itself; a network in CIDR form for its addresses; a port narrows
an entry; `*` is every host. No name is looked up. Loopback is an address like others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_ENTRY = re.compile(r"\[?([^\[\]]*?)\]?(?::([0-9]{1,5}))?").fullmatch


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: a name in lower case or a network, and the port if it has one."""

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    def covers(self, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return self.name == "*" or host == self.name or (address is None and host.endswith(f".{self.name}"))


class Bypass:
    """The entries of a list, separated by commas or spaces."""

    __slots__ = ("_entries",)

    def __init__(self, text: str) -> None:
        self._entries = [_entry(each) for each in re.split(r"[,\s]+", text.lower()) if each]

    def covers(self, host: str, port: int) -> bool:
        """Tell whether a host is on the list."""
        host = host.lower().rstrip(".")
        address = _address(host)
        return any(entry.covers(host, address, port) for entry in self._entries)


def _entry(text: str) -> _Entry:
    whole = _network(text)  # an IPv6 address or network: its colons are not those of a port
    if whole is not None:
        return _Entry("", whole, None)
    match = _ENTRY(text)
    name, port = (match[1], match[2]) if match is not None else (text, None)
    network = _network(name)
    plain = name if name == "*" else name.removeprefix("*").strip(".")
    return _Entry(plain, network, int(port) if port else None)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
