"""protocol.py and protocol.h say the same."""

from __future__ import annotations

import re
from struct import Struct, calcsize

import pytest

from gofer import protocol
from gofer._native import ffi, lib

LAYOUTS = {
    "gofer_header": protocol.HEADER,
    "gofer_hello": protocol.HELLO_REQUEST,
    "gofer_hello_reply": protocol.HELLO_REPLY,
    "gofer_attr": protocol.ATTR,
    "gofer_path": protocol.PATH,
    "gofer_walk": protocol.WALK_REQUEST,
    "gofer_walk_reply": protocol.WALK_REPLY,
    "gofer_readdir": protocol.READDIR_REQUEST,
    "gofer_readdir_reply": protocol.READDIR_REPLY,
    "gofer_dirent": protocol.DIRENT,
    "gofer_open": protocol.OPEN_REQUEST,
    "gofer_list_reply": protocol.LIST_REPLY,
    "gofer_open_many": protocol.OPEN_MANY_REQUEST,
    "gofer_open_many_reply": protocol.OPEN_MANY_REPLY,
    "gofer_statfs_reply": protocol.STATFS_REPLY,
    "gofer_create": protocol.CREATE_REQUEST,
    "gofer_pair": protocol.PAIR_REQUEST,
    "gofer_setattr": protocol.SETATTR_REQUEST,
    "gofer_xattr": protocol.XATTR_REQUEST,
    "gofer_pty_reply": protocol.PTY_REPLY,
}
WITH_ATTR_AT_THE_END = {"gofer_readdir_reply", "gofer_dirent"}


def codes(layout: Struct) -> list[str]:
    """The format, one letter a field."""
    return [code for count, code in re.findall(r"(\d*)([A-Za-z])", layout.format) for _ in range(int(count or 1))]


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_the_same_in_c(name: str) -> None:
    fields = ffi.typeof(f"struct {name}").fields
    size = LAYOUTS[name].size
    if name in WITH_ATTR_AT_THE_END:
        assert fields[-1][1].type is ffi.typeof("struct gofer_attr")
        assert fields[-1][1].offset == size
        fields = fields[:-1]
        size += protocol.ATTR.size
    assert ffi.sizeof(f"struct {name}") == size
    at = 0
    for (_, field), code in zip(fields, codes(LAYOUTS[name]), strict=True):
        assert field.offset == at
        assert ffi.sizeof(field.type) == calcsize("<" + code)
        assert (int(ffi.cast(field.type, -1)) < 0) == code.islower()
        at += calcsize("<" + code)


def test_every_constant_is_the_same_in_c() -> None:
    names = [name for name in dir(lib) if re.fullmatch(r"GOFER_[A-Z_]+", name)]
    ours = {"PROTOCOL_VERSION": "VERSION"}
    for name in names:
        short = ours.get(name.removeprefix("GOFER_"), name.removeprefix("GOFER_"))
        if short is not None:
            assert getattr(protocol, short) == getattr(lib, name), name
    assert len(names) > 30


def test_attributes_with_times_before_the_epoch_and_far_away() -> None:
    values = [0] * 14 + [-5, 1 << 40, 7, 0] + [999_999_999, 1, 0, 0]
    attr = protocol.Attr(protocol.ATTR.pack(*values))
    assert attr.atime_ns == -5 * 10**9 + 999_999_999
    assert attr.mtime_ns == (1 << 40) * 10**9 + 1
    assert attr.ctime_ns == 7 * 10**9
    assert not attr.is_valid
