"""Programs of random system calls, made from bytes and the rows' argument types; what calls.c executes.

Owns what an argument of each type may be: right most of the time, else strange. The bytes decide everything, so that
hypothesis can shrink them and a find can be run again; behind their end all decisions are the first choice.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

TABLES = Path(__file__).resolve().parents[2] / "syscall_tables"
sys.path.insert(0, str(TABLES))

from generator import rows  # noqa: E402
from generator.arg_types import Argument  # noqa: E402

T = TypeVar("T")
TABLE = rows.load(TABLES)
CALLS_MAX = 16
IMAGE, READ_ONLY, IMAGE_SIZE = 0x10000000, 0x10100000, 16384
FIRST_FD, LAST_FD = 3, 37  # calls.c's; new ones have the numbers behind
FDS_OF = {
    "socket": (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
    "ancillary": (11, 13, 14, 15),
    "pipe": (7, 8, 9, 10, 35),
    "epoll": (25, 25, 25, 11, 22),
    "timerfd": (23,),
    "inotify": (26,),
    "mqueue": (34,),
    "pidfd": (28,),
    "dir": (5, 30),
    "tty": (32, 33),
}
"""What calls of a family are mostly given; others take any."""
M64 = (1 << 64) - 1

UNKNOWN_NUMBERS = (-1, 500, 1023, 0x40000000 - 1)

NUMBERS = (
    0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 28, 32, 64, 88, 100, 128, 255, 256, 511, 512, 1000, 1024, 4095, 4096, 4097,
    8192, 16384, 65535, 65536, 999_999_999, 1_000_000_000, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**47, 2**63 - 1,
    2**63, M64, M64 - 1, M64 - 21, M64 - 99, M64 - 4095,
)  # fmt: skip
SMALL = NUMBERS[:28]
BAD_POINTERS = (
    0, 1, 8, IMAGE + IMAGE_SIZE, IMAGE + IMAGE_SIZE - 1, IMAGE + IMAGE_SIZE - 4, IMAGE + IMAGE_SIZE - 8, READ_ONLY,
    READ_ONLY + 100, READ_ONLY + IMAGE_SIZE - 3, 0x400000, 0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_8880_0000_0000,
    0xFFFF_FFFF_FF60_0000, M64,
)  # fmt: skip
PATHS = (
    b"file", b"other", b"new", b"directory", b"directory/x", b".", b"..", b"/", b"", b"link", b"loop", b"fifo",
    b"socket", b"directory/", b"file/x", b"none/x", b"./../place/file", b"/etc/passwd", b"/usr/bin/true", b"/etc",
    b"/tmp", b"/dev/shm/x", b"/dev/null", b"/dev/full", b"/dev/ptmx", b"/dev/pts/0", b"/dev/tty", b"/dev/fd/3",
    b"/dev/mqueue", b"/dev/loop0", b"/proc", b"/proc/self/exe", b"/proc/self/fd", b"/proc/self/fd/3",
    b"/proc/self/fd/8", b"/proc/self/fd/24", b"/proc/self/cwd/file", b"/proc/self/root", b"/proc/self/mem",
    b"/proc/self/maps", b"/proc/self/smaps", b"/proc/self/status", b"/proc/self/comm", b"/proc/self/ns/mnt",
    b"/proc/self/ns/user", b"/proc/self/task/1/stat", b"/proc/self/mountinfo", b"/proc/self/oom_score_adj",
    b"/proc/self/fdinfo/22", b"/proc/self/environ", b"/proc/self/attr/current", b"/proc/1/stat", b"/proc/1/fd/900",
    b"/proc/2", b"/proc/sys/kernel/hostname", b"/proc/sys/fs/pipe-max-size", b"/proc/sysrq-trigger",
    b"/proc/thread-self/stat", b"/proc/meminfo", b"/proc/net/tcp", b"/proc/locks", b"/sys",
    b"/sys/devices/system/cpu/online", b"/sys/fs/cgroup", b"\xff\xfe", b"n" * 255, b"n" * 256, b"d/" * 2047 + b"x",
    b"d/" * 2048 + b"x", b"/" * 4095,
)  # fmt: skip
STRINGS = (
    b"user.x", b"user.", b"trusted.x", b"security.capability", b"system.posix_acl_access", b"user." + b"x" * 251, b"",
    b"queue", b"tmpfs", b"proc", b"sysfs", b"overlay", b"devpts", b"mqueue", b"size=1m", b"mode=700,size=x", b"user",
    b"keyring", b"\xff", b"source", b"ro", b"%s%n", b"x" * 4000,
)  # fmt: skip


class Choices:
    """Decisions out of a string of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, count: int) -> int:
        """A number from 0 to count - 1 (at most 65536)."""
        size = 1 if count <= 256 else 2
        taken = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return taken % count

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def is_rare(self, one_in: int) -> bool:
        return self.below(256) >= 256 - 256 // one_in

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken.ljust(size, b"\0")


class Image:
    """The memory that a program finds at IMAGE, filled from its start; what does not fit any more lies at its end."""

    def __init__(self) -> None:
        self.content = bytearray()

    def put(self, data: bytes) -> int:
        """The address of a copy, aligned to 8."""
        if len(self.content) + len(data) > IMAGE_SIZE:
            return IMAGE + IMAGE_SIZE - 16
        address = IMAGE + len(self.content)
        self.content += data + bytes(-len(data) % 8)
        return address


class Program:
    """Up to CALLS_MAX calls and their memory. Raises nothing, whatever the bytes."""

    def __init__(self, data: bytes) -> None:
        self.choices = Choices(data)
        self.image = Image()
        self.calls: list[tuple[int, list[int], list[int]]] = []
        self.lines: list[str] = []
        self.family = ""
        for _ in range(1 + self.choices.below(CALLS_MAX)):
            self._add_call()

    def encode(self) -> bytes:
        """struct program of calls.c."""
        parts = [struct.pack("<II", len(self.calls), 0)]
        for nr, args, origins in self.calls:
            parts.append(struct.pack("<q6Q8b", nr, *args, *origins, -1, -1))
        parts.append(bytes((CALLS_MAX - len(self.calls)) * 64))
        parts.append(bytes(self.image.content).ljust(IMAGE_SIZE, b"\0"))
        return b"".join(parts)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _add_call(self) -> None:
        c = self.choices
        if c.is_rare(100):
            nr, name, arguments = c.pick(UNKNOWN_NUMBERS), "unknown", ()
        else:
            row = TABLE.rows[c.below(len(TABLE.rows))]
            if row.disposition == "error" and not c.is_rare(10):
                row = TABLE.rows[c.below(len(TABLE.rows))]
            nr, name, arguments = row.nr, row.name, row.args
            self.family = row.family
        sizes: dict[str, int] = {}
        args, origins = [], []
        for argument in arguments:
            origins.append(-1)
            if self.calls and c.is_rare(12):
                origins[-1] = c.below(len(self.calls))
                args.append(0)
            elif c.is_rare(25):
                args.append(c.pick(NUMBERS))
            else:
                args.append(self._value(argument, name, sizes) & M64)
        args += [c.pick(NUMBERS) if c.is_rare(20) else 0 for _ in range(6 - len(args))]
        origins += [-1] * (6 - len(origins))
        self.calls.append((nr, args, origins))
        shown = [f"result {origin}" if origin >= 0 else f"{arg:#x}" for arg, origin in zip(args, origins, strict=True)]
        self.lines.append(f"{name}({', '.join(shown[: len(arguments) or 6])})")

    # ---- one argument ----

    def _value(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        word = argument.text.partition("[")[0]
        if argument.name in sizes:  # the size of a buffer that came before
            return sizes[argument.name] if not self.choices.is_rare(6) else self.choices.pick(NUMBERS)
        maker: Callable[[Argument, str, dict[str, int]], int] = getattr(self, f"_{word}", Program._number)  # type: ignore[arg-type]
        return maker(argument, name, sizes) if maker is not Program._number else self._number(argument, name, sizes)

    def _number(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return self.choices.pick(SMALL) if not self.choices.is_rare(4) else self.choices.pick(NUMBERS)

    def _fd(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        if self.family in FDS_OF and not self.choices.is_rare(4):
            return self.choices.pick(FDS_OF[self.family])
        return FIRST_FD + self.choices.below(LAST_FD + 8 - FIRST_FD) if not self.choices.is_rare(20) else -1

    def _dirfd(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return -100 if self.choices.below(3) < 2 else self._fd(argument, name, sizes)

    def _pid(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return self.choices.pick((0, 2, 3, -1, 99999))

    def _sig(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return self.choices.pick((10, 12, 14, 17, 18, 19, 20, 9, 11, 13, 34, 64, 65, 0, -1))

    def _mode(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        kinds = (0o644, 0o755, 0o7777, 0, 0o100644, 0o010600, 0o020666, 0o060666, 0o140777, 0o040755, 0xFFFF)
        return self.choices.pick(kinds)

    def _path(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return self._string(PATHS)

    def _str(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        return self._string(STRINGS)

    def _string(self, options: Sequence[bytes]) -> int:
        if self.choices.is_rare(16):
            return self._bad_pointer()
        return self.image.put(self.choices.pick(options) + b"\0")

    def _flags(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        c = self.choices
        value = 0
        options = TABLE.constants.members(argument.choices)
        if options:
            value = c.pick(options)[1]
        bits = TABLE.constants.members(argument.bits_named)
        for _ in range(c.below(4) if bits else 0):
            value |= c.pick(bits)[1]
        return value if not c.is_rare(12) else value ^ 1 << c.below(argument.bits)

    _flags64 = _enum = _cmd = _flags

    def _ptr(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        c = self.choices
        if c.is_rare(10):
            return self._bad_pointer()
        if not argument.points_to:
            return IMAGE + c.below(IMAGE_SIZE // 16) * 16
        if c.is_rare(5):
            return 0  # often allowed, and then something else happens
        kind = argument.points_to.removesuffix("[]")
        if kind in ("str", "ptr"):
            strings = [self.image.put(c.pick(PATHS + STRINGS) + b"\0") for _ in range(c.below(4))]
            return self.image.put(struct.pack(f"<{len(strings) + 1}Q", *strings, 0))
        if kind in ("msghdr", "mmsghdr"):
            return self.image.put(self._message() + bytes(8))
        if kind.startswith(("time", "itimer")):
            times = [c.pick((0, 0, 0, 1, 1000, 1_000_000, 999_999_999, 10**9, M64, 2**63 - 1)) for _ in range(4)]
            return self.image.put(struct.pack("<4Q", *times))
        if kind == "pollfd":
            polled = [(self._fd(argument, name, sizes), c.below(256)) for _ in range(1 + c.below(4))]
            return self.image.put(b"".join(struct.pack("<iHH", fd, events, 0) for fd, events in polled))
        if kind == "fd_set":
            return self.image.put(c.take(8) + bytes(120))
        if kind == "sigset":
            return self.image.put(c.take(8))
        return self.image.put(self._words(1 + c.below(16)))

    def _buf(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        size = self.choices.pick((16, 8, 4, 64, 100, 1, 0, 256, 1024, 4096, 8192))
        sizes.setdefault(argument.size_from, size)
        if self.choices.is_rare(10):
            return self._bad_pointer()
        content = self._words(8) if self.choices.below(2) else self.choices.take(24)
        return self.image.put(content.ljust(size, b"\0")[: max(size, 8)])

    def _iovec(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        count = self.choices.pick((1, 2, 3, 0, 8))
        sizes.setdefault(argument.size_from, count)
        return self._iovecs(count) if not self.choices.is_rare(10) else self._bad_pointer()

    def _iovecs(self, count: int) -> int:
        c = self.choices
        rows = b""
        for _ in range(count):
            at = self._bad_pointer() if c.is_rare(6) else self.image.put(c.take(8).ljust(256, b"y"))
            length = c.pick((16, 1, 0, 256, 100, M64, 2**31, 2**63 - 1)) if c.is_rare(4) else c.below(256)
            rows += struct.pack("<QQ", at, length)
        return self.image.put(rows)

    def _sockaddr(self, argument: Argument, name: str, sizes: dict[str, int]) -> int:
        data = self._address()
        sizes.setdefault(argument.size_from, len(data))
        if argument.direction != "in":  # the size is behind a pointer
            sizes[argument.size_from] = self.image.put(struct.pack("<i", self.choices.pick((128, 16, 2, 0, 110, -1))))
        return self.image.put(data.ljust(128, b"\0")) if not self.choices.is_rare(12) else self._bad_pointer()

    def _address(self) -> bytes:
        c = self.choices
        family = struct.pack("<H", c.pick((1, 2, 10, 16, 0, 3, 40)) if c.is_rare(4) else 1)
        return c.pick(
            (
                family + c.pick((b"socket", b"\0abstract", b"/dev/null", b"")) + b"\0",
                family,
                struct.pack("<HHI", 2, c.pick((0, 0x5000, 0xFFFF)), c.pick((0x0100007F, 0, 0xFFFFFFFF))) + bytes(8),
                struct.pack("<HHI", 10, 0, 0) + c.pick((bytes(15) + b"\1", bytes(16), b"\xff" * 16)) + bytes(4),
                struct.pack("<HHII", 16, 0, 0, c.below(3)),
                family + b"x" * 108,
                family + b"x" * 126,
                b"",
                b"\1",
            )
        )

    def _message(self) -> bytes:
        """struct msghdr: name, vectors, ancillary data with descriptors, credentials or nonsense."""
        c = self.choices
        name = self._address() if c.below(3) == 2 else b""
        count = c.pick((1, 2, 0, 1025)) if c.is_rare(6) else 1
        control = b""
        for _ in range(c.below(3)):
            body = c.pick(
                (
                    b"".join(struct.pack("<i", FIRST_FD + c.below(LAST_FD + 3)) for _ in range(1 + c.below(3))),
                    struct.pack("<iII", c.pick((0, 2, 1)), 0, 0),
                    c.take(12),
                    b"",
                )
            )
            length = 16 + len(body) if not c.is_rare(8) else c.pick((0, 15, 17, 2**31, M64))
            control += struct.pack("<QII", length, 1, c.pick((1, 1, 2, 3))) + body + bytes(-len(body) % 8)
        length = len(control) if not c.is_rare(8) else c.pick(NUMBERS)
        name_at = self.image.put(name.ljust(128, b"\0")) if name else 0
        control_at = self.image.put(control.ljust(64, b"\0")) if control or c.below(2) else 0
        vectors = self._iovecs(min(count, 2))
        return struct.pack("<QIIQQQQI4x", name_at, len(name), 0, vectors, count, control_at, length, 0)

    def _words(self, count: int) -> bytes:
        """What a struct may hold: numbers of 32 or 64 bits, descriptors, pointers."""
        c = self.choices
        data = b""
        for _ in range(count):
            kind = c.below(5)
            if kind <= 1:
                data += struct.pack("<Q", c.pick(SMALL))
            elif kind == 2:
                data += struct.pack("<II", c.pick(SMALL), FIRST_FD + c.below(LAST_FD))
            elif kind == 3:
                data += struct.pack("<Q", c.pick(NUMBERS))
            else:
                data += struct.pack("<Q", self._bad_pointer() if c.is_rare(3) else IMAGE + c.below(256) * 8)
        return data

    def _bad_pointer(self) -> int:
        return self.choices.pick(BAD_POINTERS)
