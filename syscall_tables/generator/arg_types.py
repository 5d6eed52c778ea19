"""The little type language of a row's `args`: what it can say, and what each type is in a register.

Owns: parsing `"flags: flags[O_CLOEXEC, O_NONBLOCK]"`, and how wide and how signed the kernel takes each type.
Does not own: the values of constants (constants.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# How the kernel's SYSCALL_DEFINE casts the register: name of the cast -> bits it looks at.
CAST_BITS = {"i32": 32, "u32": 32, "u16": 16, "i64": 64, "u64": 64}

# Type word -> (cast, kind that the tracer prints it as).
PLAIN_TYPES: dict[str, tuple[str, str]] = {
    "fd": ("i32", "fd"),
    "dirfd": ("i32", "dirfd"),
    "int": ("i32", "int"),
    "pid": ("i32", "int"),
    "sig": ("i32", "signal"),
    "uint": ("u32", "int"),
    "uid": ("u32", "id"),
    "gid": ("u32", "id"),
    "dev": ("u32", "hex"),
    "hex": ("u32", "hex"),
    "mode": ("u16", "mode"),
    "long": ("i64", "int"),
    "off_t": ("i64", "int"),
    "ulong": ("u64", "ulong"),
    "size_t": ("u64", "int"),
    "hex64": ("u64", "hex"),
    "path": ("u64", "path"),
    "str": ("u64", "str"),
    "ptr": ("u64", "ptr"),
}
# Types with brackets: word -> cast.
FLAG_TYPES = {"flags": "u32", "flags64": "u64", "enum": "i32", "cmd": "u32"}
MEMORY_TYPES = frozenset({"ptr", "buf", "iovec", "sockaddr"})
COUNTED_TYPES = frozenset({"buf", "iovec", "sockaddr"})  # second bracket item names the argument that holds the size
DIRECTIONS = frozenset({"in", "out", "inout"})

_ARGUMENT = re.compile(r"(?P<name>[a-z_][a-z0-9_]*): (?P<word>[a-z0-9_]+)(?:\[(?P<items>.*)\])?")


class RowError(Exception):
    """A row, or the number table, says something that cannot be right. The message names the row."""


@dataclass(frozen=True)
class Argument:
    """One argument of a system call."""

    name: str
    text: str  # the type as written in the row
    cast: str  # key of CAST_BITS
    kind: str  # how a tracer prints it
    direction: str  # in | out | inout for memory, else ""
    points_to: str  # C type behind a `ptr`, else ""
    size_from: str  # argument that holds the size of a buf/iovec/sockaddr, else ""
    choices: tuple[str, ...]  # for flags, enum, cmd: constants or sets of which one applies ...
    bits_named: tuple[str, ...]  # ... and those that are or-ed in

    @property
    def bits(self) -> int:
        return CAST_BITS[self.cast]


def parse_argument(text: str) -> Argument:
    """`"name: type"` -> Argument. RowError if it is not in the language (README.md has the grammar)."""
    match = _ARGUMENT.fullmatch(text)
    if match is None:
        raise RowError(f"argument {text!r} is not 'name: type' or 'name: type[...]'")
    name, word, inner = match["name"], match["word"], match["items"]
    type_text = text.split(": ", 1)[1]
    if inner is None:
        if word not in PLAIN_TYPES:
            raise RowError(f"unknown type {word!r} in {text!r}")
        cast, kind = PLAIN_TYPES[word]
        direction = "in" if word in ("path", "str") else ""
        return Argument(name, type_text, cast, kind, direction, "", "", (), ())
    if word in FLAG_TYPES:
        choices, bits = _split_constants(inner, is_flags=word.startswith("flags"))
        kind = "flags" if bits else "enum"
        return Argument(name, type_text, FLAG_TYPES[word], kind, "", "", "", choices, bits)
    items = tuple(item.strip() for item in inner.split(","))
    if word not in MEMORY_TYPES:
        raise RowError(f"type {word!r} takes no brackets in {text!r}")
    if items[0] not in DIRECTIONS:
        raise RowError(f"{items[0]!r} is not a direction (in, out, inout) in {text!r}")
    if word in COUNTED_TYPES:
        if len(items) != 2:
            raise RowError(f"{text!r} must name the argument that holds its size")
        return Argument(name, type_text, "u64", word, items[0], "", items[1], (), ())
    return Argument(name, type_text, "u64", "ptr", items[0], ", ".join(items[1:]), "", (), ())


def _split_constants(inner: str, is_flags: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`open_mode; open_flags` -> (one of these, any of those). Without `;` all are one or the other by the type."""
    parts = [tuple(item.strip() for item in part.split(",")) for part in inner.split(";")]
    if len(parts) == 2:
        return parts[0], parts[1]
    return ((), parts[0]) if is_flags else (parts[0], ())
