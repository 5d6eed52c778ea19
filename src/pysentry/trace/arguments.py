"""One system call as text: its arguments by the formats generated from the rows, its result as strace writes it.

Owns words only. When a line is printed, and what else stands on it, is printer.py's.
"""

from __future__ import annotations

from errno import errorcode
from os import strerror

from pysentry.trace import structs
from pysentry.trace._formats import CASTS, FORMATS, ArgFormat, Values
from pysentry.trace.structs import Read

AT_FDCWD = -100
_OWN_ERRNOS = {512: "ERESTARTSYS", 514: "ERESTARTNOHAND"}
_CAST = {"i32": (32, True), "u32": (32, False), "u16": (16, False), "i64": (64, True), "u64": (64, False)}


def name_of(nr: int) -> str:
    """The call's name; `syscall_N` for a number without a row."""
    known = FORMATS.get(nr)
    return known[0] if known else f"syscall_{nr:#x}"


def values(nr: int, registers: list[int]) -> list[int]:
    """The registers as the call's argument types read them."""
    result = []
    for register, cast in zip(registers, CASTS.get(nr, ("u64",) * 6), strict=False):
        bits, is_signed = _CAST[cast]
        value = register & ((1 << bits) - 1)
        result.append(value - (1 << bits) if is_signed and value >> (bits - 1) else value)
    return result


def before(nr: int, arguments: list[int], read: Read) -> list[str | None]:
    """What can be told when the call comes in; None where memory is written by it."""
    known = FORMATS.get(nr)
    if known is None:
        return [hex(value) for value in arguments]
    by_name = {argument[0]: value for argument, value in zip(known[2], arguments, strict=False)}
    return [
        None if argument[2] == "out" and value else _argument(argument, value, by_name, read, None)
        for argument, value in zip(known[2], arguments, strict=False)
    ]


def after(nr: int, arguments: list[int], told: list[str | None], read: Read, result: int) -> list[str]:
    """All arguments, with what the call wrote; addresses if it failed."""
    known = FORMATS.get(nr)
    if known is None:
        return [word or "" for word in told]
    by_name = {argument[0]: value for argument, value in zip(known[2], arguments, strict=False)}
    words = []
    for argument, value, word in zip(known[2], arguments, told, strict=False):
        if word is None:
            word = hex(value) if result < 0 else _argument(argument, value, by_name, read, result)
        words.append(word)
    return words


def result_text(nr: int, result: int) -> str:
    """`3`, `0x7f12..`, `-1 ENOENT (No such file or directory)`."""
    if -4095 <= result < 0:
        number = -result
        if number in _OWN_ERRNOS:
            return f"? {_OWN_ERRNOS[number]} (to be restarted)"
        return f"-1 {errorcode.get(number, number)} ({strerror(number)})"
    known = FORMATS.get(nr)
    kind = known[1] if known else "int"
    return (
        f"{result & 0xFFFF_FFFF_FFFF_FFFF:#x}" if kind == "ptr" else f"{result:#o}" if kind == "mode" else str(result)
    )


def _argument(argument: ArgFormat, value: int, by_name: dict[str, int], read: Read, result: int | None) -> str:
    _, kind, _, detail, choices, bits = argument
    if kind in ("path", "str"):
        return _string(value, read)
    if kind in ("buf", "iovec", "sockaddr", "ptr"):
        return _memory(kind, value, detail, by_name, read, result)
    if kind in ("flags", "enum"):
        return _flags(value, choices, bits)
    if kind in ("fd", "dirfd"):
        return "AT_FDCWD" if value == AT_FDCWD else str(value)
    if kind == "mode":
        return f"{value:#o}" if value else "0"
    if kind == "signal":
        return structs.signal(value)
    if kind == "id":
        return "-1" if value == 0xFFFF_FFFF else str(value)
    return hex(value) if kind in ("hex", "ulong") and value else str(value)


def _string(address: int, read: Read) -> str:
    if not address:
        return "NULL"
    raw = read(address, 4096)
    if not raw:
        return hex(address)
    content, end, _ = raw.partition(b"\0")
    return structs.text(content, 4096, is_whole=bool(end))


def _memory(kind: str, address: int, detail: str, by_name: dict[str, int], read: Read, result: int | None) -> str:
    if not address:
        return "NULL"
    if kind == "buf":
        size = by_name.get(detail, 0) if result is None else min(result, by_name.get(detail, result))
        return structs.text(read(address, max(0, min(size, 33))), is_whole=size <= 33)
    if kind == "sockaddr":
        return structs.sockaddr(read(address, max(0, min(by_name.get(detail, 0), 128)))) or hex(address)
    if kind == "iovec":
        return _iovec(address, by_name.get(detail, 0), read, result)
    count = next((by_name[name] for name in ("nfds", "maxevents", "size", "nsops") if name in by_name), 1)
    if detail == "epoll_event[]" and result is not None:
        count = result
    return structs.pointed(detail, address, read, count) or hex(address)


def _iovec(address: int, count: int, read: Read, result: int | None) -> str:
    shown, left = [], result
    for index in range(min(count, structs.MOST_ELEMENTS)):
        raw = read(address + 16 * index, 16)
        if len(raw) < 16:
            return hex(address)
        base, size = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        have = size if left is None else max(0, min(size, left))
        left = None if left is None else left - have
        shown.append(f"{{{structs.text(read(base, min(have, 33)), is_whole=have <= 33)}, {size}}}")
    return "[" + ", ".join(shown) + (", ..." if count > len(shown) else "") + "]"


def _flags(value: int, choices: Values, bits: Values) -> str:
    shown = []
    rest = value
    for name, bit in sorted(bits, key=lambda one: -one[1].bit_count()):
        if bit and rest & bit == bit:
            shown.append(name)
            rest &= ~bit
    shown.reverse()
    choice = next((name for name, number in choices if number == rest), None)
    if choice is not None:
        return "|".join([choice, *shown])
    if rest or not shown:
        shown.append(hex(rest) if rest else next((name for name, number in bits if number == 0), "0"))
    return "|".join(shown)
