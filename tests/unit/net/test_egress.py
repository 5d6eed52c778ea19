"""Egress rules: what they mean, and how an address is judged."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.abi.errno import EACCES
from pysentry.net.egress import Egress, parse_rule

PORTS = st.integers(1, 65535)


def inet(address: str, port: int, family: int = socket.AF_INET) -> bytes:
    return struct.pack("<H", family) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(8)


def inet6(address: str, port: int) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    return struct.pack("<H", socket.AF_INET6) + struct.pack(">HI", port, 0) + packed + bytes(4)


def allows(rule: str, family: int, sockaddr: bytes, is_sending: bool = False) -> bool:
    try:
        Egress([parse_rule(rule)]).check(family, sockaddr, is_sending)
    except EACCES:
        return False
    return True


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4), PORTS, PORTS, PORTS)
def test_networks_and_ports(
    base: ipaddress.IPv4Address, bits: int, address: ipaddress.IPv4Address, low: int, high: int, port: int
) -> None:
    low, high = sorted((low, high))
    shown = address if int(address) else ipaddress.IPv4Address("127.0.0.1")
    wanted = shown in ipaddress.ip_network((base, bits), strict=False) and low <= port <= high
    rule = f"{base}/{bits}:{low}-{high}"
    assert allows(rule, socket.AF_INET, inet(str(address), port)) == wanted
    assert allows(rule, socket.AF_INET6, inet6(f"::ffff:{address}", port)) == wanted
    assert allows(rule, socket.AF_INET6, inet(str(address), port)) == wanted


@pytest.mark.parametrize(
    ("rule", "address", "port", "wanted"),
    [
        ("2001:db8::/32", "2001:db8:1::5", 1, True),
        ("[2001:db8::/32]:443", "2001:db8:1::5", 443, True),
        ("[2001:db8::/32]:443", "2001:db8:1::5", 80, False),
        ("[::1]", "::", 9, True),
        ("::1", "2001:db8::1", 9, False),
        ("any:53", "2001:db8::1", 53, True),
        ("any:53", "2001:db8::1", 54, False),
    ],
)
def test_ipv6(rule: str, address: str, port: int, wanted: bool) -> None:
    assert allows(rule, socket.AF_INET6, inet6(address, port)) == wanted


def test_addresses_in_disguise() -> None:
    assert not allows("10.0.0.1", socket.AF_INET, inet("10.0.0.2", 5, socket.AF_UNSPEC), is_sending=True)
    assert allows("10.0.0.2", socket.AF_INET, inet("10.0.0.2", 5, socket.AF_UNSPEC), is_sending=True)
    assert allows("10.0.0.1", socket.AF_INET, inet("10.0.0.2", 5, socket.AF_UNSPEC))  # connect: an end
    assert not allows("10.0.0.1", socket.AF_INET, inet("0.0.0.0", 5))
    assert allows("127.0.0.0/8", socket.AF_INET, inet("0.0.0.0", 5))
    assert not allows("any", socket.AF_INET, b"\2\0\0\5")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("example.org:443", "name"), ("10.0.0.0/33", "10.0.0.0/33"), ("10.0.0.1:0", "65535"), ("10.0.0.1:", "expected"),
        ("10.0.0.1:5-4", "lower"), ("10.0.0.1:70000", "65535"), ("10.0.0.1:http", "http"), ("", "expected"),
        ("[::1", "expected"), ("[::1]5", "expected"), (":80", "expected"), ("10.0.0.1:1-2-3", "2-3"),
    ],
)  # fmt: skip
def test_bad_rules(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_rule(text)
