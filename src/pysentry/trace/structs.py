"""What a pointer argument points to, as text: the C types named by the rows, each one line of `struct` and words.

Owns layouts as x86-64 Linux has them, for reading only. A type without an entry is printed as its address.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from ptrace.signames import signalName
from ptrace.syscall.socketcall_constants import SOCKET_FAMILY

Read = Callable[[int, int], bytes]
"""(address, size in bytes) -> that many bytes, or fewer at a fault."""

MOST_ELEMENTS = 8

_POLL_EVENTS = ((1, "POLLIN"), (2, "POLLPRI"), (4, "POLLOUT"), (8, "POLLERR"), (16, "POLLHUP"), (32, "POLLNVAL"))
_EPOLL_EVENTS = (*((bit, "E" + name) for bit, name in _POLL_EVENTS), (0x2000, "EPOLLRDHUP"), (1 << 30, "EPOLLONESHOT"))
_FILE_TYPES = {1: "S_IFIFO", 2: "S_IFCHR", 4: "S_IFDIR", 6: "S_IFBLK", 8: "S_IFREG", 10: "S_IFLNK", 12: "S_IFSOCK"}


def pointed(kind: str, address: int, read: Read, count: int) -> str | None:
    """The text for a type of the rows, or None: print the address.

    Args:
        kind: as in FORMATS: "timespec", "int32[2]", "pollfd[]", ...
        count: elements of a "[]" type.
    """
    name, bracket, inside = kind.partition("[")
    if bracket:
        count = int(inside[:-1]) if inside != "]" else count
        return _array(name, address, read, count)
    if name == "sockaddr":
        return sockaddr(read(address, 128))
    one = _TYPES.get(name)
    if one is None:
        return None
    layout, show = one
    raw = read(address, layout.size)
    if len(raw) != layout.size:
        return None
    shown = show(*layout.unpack(raw))
    return shown if shown[0] in "{[~" else f"[{shown}]"


def _array(name: str, address: int, read: Read, count: int) -> str | None:
    if name == "str":
        return _strings(address, read)
    one = _TYPES.get(name)
    if one is None or count < 0:
        return None
    layout, show = one
    raw = read(address, layout.size * min(count, MOST_ELEMENTS))
    shown = [show(*fields) for fields in layout.iter_unpack(raw[: len(raw) - len(raw) % layout.size])]
    return "[" + ", ".join(shown) + (", ..." if count > MOST_ELEMENTS else "") + "]"


def _strings(address: int, read: Read) -> str | None:
    shown: list[str] = []
    for index in range(64):
        raw = read(address + 8 * index, 8)
        if len(raw) < 8:
            return None
        pointer = int.from_bytes(raw, "little")
        if not pointer:
            break
        if index == MOST_ELEMENTS:
            return "[" + ", ".join(shown) + ", ...]"
        shown.append(text(read(pointer, 256).split(b"\0")[0]))
    return "[" + ", ".join(shown) + "]"


def text(raw: bytes, limit: int = 32, is_whole: bool = True) -> str:
    """Bytes as strace prints them: quoted, escaped, cut."""
    shown = repr(bytes(raw[:limit]))[1:]
    if shown[0] == "'":
        shown = '"' + shown[1:-1].replace('"', '\\"').replace("\\'", "'") + '"'
    return shown + ("..." if len(raw) > limit or not is_whole else "")


def sockaddr(raw: bytes) -> str | None:
    """A socket address, by family."""
    if len(raw) < 2:
        return None
    family = int.from_bytes(raw[:2], "little")
    name = "AF_UNIX" if family == 1 else SOCKET_FAMILY.get(family, str(family))
    if family == 1:
        path = raw[2:110]
        shown = "@" + text(path[1:].rstrip(b"\0")) if path[:1] == b"\0" else text(path.split(b"\0")[0], 108)
        return f"{{sa_family={name}, sun_path={shown}}}"
    if family == 2 and len(raw) >= 8:
        return f"{{sa_family={name}, {int.from_bytes(raw[2:4], 'big')}, {'.'.join(map(str, raw[4:8]))}}}"
    if family == 10 and len(raw) >= 24:
        words = ":".join(f"{int.from_bytes(raw[at : at + 2], 'big'):x}" for at in range(8, 24, 2))
        return f"{{sa_family={name}, {int.from_bytes(raw[2:4], 'big')}, [{words}]}}"
    return f"{{sa_family={name}}}"


def names(value: int, table: Iterable[tuple[int, str]]) -> str:
    """A set of bits by name; what has none in hexadecimal."""
    shown = []
    for bit, name in table:
        if value & bit:
            shown.append(name)
            value &= ~bit
    if value or not shown:
        shown.append(hex(value) if value else "0")
    return "|".join(shown)


def signal_set(mask: int) -> str:
    """A signal set; a nearly full one by what is missing, as strace does."""
    mask &= 0xFFFF_FFFF_FFFF_FFFF
    prefix, bits = ("~", ~mask) if mask.bit_count() > 40 else ("", mask)
    return prefix + "[" + " ".join(signal(n + 1).removeprefix("SIG") for n in range(64) if bits >> n & 1) + "]"


def signal(number: int) -> str:
    """SIGTERM; SIGRT_2 for a real-time one; the number itself for none."""
    if not 0 < number <= 64:
        return str(number)
    return f"SIGRT_{number - 32}" if number >= 32 else str(signalName(number))


def mode(value: int) -> str:
    """st_mode: type and octal permissions."""
    return f"{_FILE_TYPES.get(value >> 12, hex(value >> 12))}|{value & 0o7777:04o}"


def _time(unit: str) -> Callable[[int, int], str]:
    return lambda seconds, part: f"{{tv_sec={seconds}, {unit}={part}}}"


def _timer(unit: str) -> Callable[[int, int, int, int], str]:
    one = _time(unit)
    return lambda a, b, c, d: f"{{it_interval={one(a, b)}, it_value={one(c, d)}}}"


def _limit(value: int) -> str:
    return "RLIM64_INFINITY" if value == 0xFFFF_FFFF_FFFF_FFFF else str(value)


def _stat(dev: int, ino: int, links: int, st_mode: int, uid: int, gid: int, rdev: int, size: int) -> str:
    return f"{{st_mode={mode(st_mode)}, st_size={size}, ...}}"


def _handler(address: int) -> str:
    return {0: "SIG_DFL", 1: "SIG_IGN"}.get(address, hex(address))


_TYPES: dict[str, tuple[struct.Struct, Callable[..., str]]] = {
    "int32": (struct.Struct("<i"), str),
    "uint32": (struct.Struct("<I"), str),
    "uint64": (struct.Struct("<Q"), str),
    "ulong": (struct.Struct("<Q"), hex),
    "long": (struct.Struct("<q"), str),
    "off_t": (struct.Struct("<q"), str),
    "ptr": (struct.Struct("<Q"), hex),
    "uint8": (struct.Struct("<B"), str),
    "timespec": (struct.Struct("<qq"), _time("tv_nsec")),
    "timeval": (struct.Struct("<qq"), _time("tv_usec")),
    "itimerspec": (struct.Struct("<4q"), _timer("tv_nsec")),
    "itimerval": (struct.Struct("<4q"), _timer("tv_usec")),
    "rlimit": (struct.Struct("<QQ"), lambda cur, most: f"{{rlim_cur={_limit(cur)}, rlim_max={_limit(most)}}}"),
    "sigset": (struct.Struct("<Q"), signal_set),
    "sigaction": (
        struct.Struct("<QQQQ"),
        lambda to, flags, _restorer, mask: (
            f"{{sa_handler={_handler(to)}, sa_mask={signal_set(mask)}, sa_flags={flags:#x}}}"
        ),
    ),
    "pollfd": (
        struct.Struct("<iHH"),
        lambda fd, events, got: (
            f"{{fd={fd}, events={names(events, _POLL_EVENTS)}{', revents=' + names(got, _POLL_EVENTS) if got else ''}}}"
        ),
    ),
    "epoll_event": (struct.Struct("<IQ"), lambda events, data: f"{{{names(events, _EPOLL_EVENTS)}, {data:#x}}}"),
    "stat": (struct.Struct("<QQQIII4xQq88x"), _stat),
    "statx": (
        struct.Struct("<II4x4xIIIH2xQQ208x"),
        lambda mask, block, links, uid, gid, st_mode, ino, size: f"{{stx_mode={mode(st_mode)}, stx_size={size}, ...}}",
    ),
    "utsname": (
        struct.Struct("<65s65s65s65s65s65s"),
        lambda system, node, *rest: f"{{{text(system.rstrip(bytes(1)))}, {text(node.rstrip(bytes(1)))}, ...}}",
    ),
}
