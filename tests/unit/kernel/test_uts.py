"""The machine's names."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from pysentry.kernel import uts
from pysentry.kernel.uts import Uts


@pytest.mark.parametrize(
    ("release", "shown"),
    [("6.18.44-fc", b"6.18.44-fc"), ("6.1.0-13-amd64", b"6.1.0-13-amd64"), ("10.0", b"10.0"),
     ("5.15.0-91-generic", b"6.1.0"), ("6.0.9", b"6.1.0"), ("3.10", b"6.1.0"), ("6", b"6.1.0")],
)  # fmt: skip
def test_release_is_recent(monkeypatch: pytest.MonkeyPatch, release: str, shown: bytes) -> None:
    host = SimpleNamespace(nodename="host", release=release, version="#1 SMP")
    monkeypatch.setattr(uts.os, "uname", lambda: host)
    assert Uts().release == shown


def test_struct() -> None:
    names = Uts()
    names.nodename = b"n" * 64
    packed = names.pack()
    assert len(packed) == 390
    fields = [packed[at : at + 65].rstrip(b"\0") for at in range(0, 390, 65)]
    assert fields[0] == b"Linux"
    assert fields[1] == b"n" * 64
    assert fields[3] == os.fsencode(os.uname().version)[:64]
    assert fields[4] == b"x86_64"
