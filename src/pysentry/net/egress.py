"""Egress rules: which addresses the workload may reach on the host's network (`--net host --egress RULE`).

Judged is the sentry's copy of an address, which is also what the host gets; the sentry's own filter cannot look into
one. Addresses are all that counts: names are the resolver's business, which must be reachable itself.
"""

from __future__ import annotations

import ipaddress

from pysentry.abi.errno import EACCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
_PORT_MAX = 65535
_IN_SIZE, _IN6_SIZE = 8, 24  # bytes of struct sockaddr_in and sockaddr_in6 that hold port and address
_ANY = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}


class Rule:
    """Addresses and ports that may be reached. networks: the addresses; ports: (first, last)."""

    __slots__ = ("networks", "ports")

    def __init__(self, networks: Sequence[Network], ports: tuple[int, int]) -> None:
        self.networks = networks
        self.ports = ports

    def allows(self, address: Address, port: int) -> bool:
        """True if it is among them."""
        return self.ports[0] <= port <= self.ports[1] and any(address in network for network in self.networks)


def parse_rule(text: str) -> Rule:
    """`ADDRESS[/BITS][:PORT[-PORT]]`; IPv6 with a port as `[ADDRESS/BITS]:PORT`; `any` is every address.

    Raises ValueError: what is wrong, in words.
    """
    if text.startswith("["):
        where, bracket, ports = text[1:].partition("]")
        if not bracket or (ports and not ports.startswith(":")):
            raise ValueError("expected [ADDRESS/BITS]:PORT")
        ports = ports[1:]
    elif text.count(":") > 1:
        where, ports = text, ""
    else:
        where, _, ports = text.partition(":")
    if not where or text.endswith(":"):
        raise ValueError("expected ADDRESS[/BITS][:PORT[-PORT]]")
    return Rule(_ANY if where == "any" else (_parse_network(where),), _parse_ports(ports))


def _parse_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is not an address or a network (a name cannot be given)") from None


def _parse_ports(text: str) -> tuple[int, int]:
    if not text:
        return 0, _PORT_MAX
    first, dash, last = text.partition("-")
    words = (first, last if dash else first)
    if not all(word.isascii() and word.isdigit() and len(word) <= 5 for word in words):
        raise ValueError(f"'{text}' is not a port or a range of ports")
    low, high = map(int, words)
    if not 0 < low <= high <= _PORT_MAX:
        raise ValueError(f"ports go from 1 to {_PORT_MAX}, the lower one first")
    return low, high


class Egress:
    """Only what one of the rules allows can be reached."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def check(self, family: int, sockaddr: bytes, is_sending: bool) -> None:
        """As net/policy.py asks. EACCES: no rule allows the address, or it cannot be judged."""
        if family not in (AF_INET, AF_INET6):
            return
        own = int.from_bytes(sockaddr[:2], "little")
        if own == AF_UNSPEC:
            if not is_sending:
                return  # the end of a connection
            own = family  # Linux takes it for that, with AF_INET
        if own == AF_INET and len(sockaddr) >= _IN_SIZE:
            address: Address = ipaddress.IPv4Address(sockaddr[4:8])
        elif own == AF_INET6 and len(sockaddr) >= _IN6_SIZE:
            address = ipaddress.IPv6Address(sockaddr[8:24])
            address = address.ipv4_mapped or address
        else:
            raise EACCES("no address that could be judged")
        if address.is_unspecified:
            address = _LOOPBACK[address.version]  # as Linux takes it
        port = int.from_bytes(sockaddr[2:4], "big")
        if not any(rule.allows(address, port) for rule in self._rules):
            raise EACCES(f"egress to {address} port {port}")
