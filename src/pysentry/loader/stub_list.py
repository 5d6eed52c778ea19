"""The list that the exec stub carries out (native/stub/stub.h), for a program and its interpreter.

Owns where things go: a PIE at a random place of the usual region, a fixed program where it asks, the interpreter where
the host kernel maps it. Pure but for the random numbers.
"""

from __future__ import annotations

import os
import struct

from pysentry.loader.elf import PAGE, PF_R, PF_W, PF_X
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.loader.elf import Elf

PROT_READ, PROT_WRITE, PROT_EXEC, PROT_GROWSDOWN = 1, 2, 4, 0x01000000
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000
PIE_BASE, PIE_RANDOM_PAGES = 0x555555554000, 1 << 28
NO_FD = 0xFFFFFFFFFFFFFFFF
_END, _MMAP, _BASE, _ZERO, _STORE, _PROTECT, _TELL = (
    lib.STUB_END,
    lib.STUB_MMAP,
    lib.STUB_BASE,
    lib.STUB_ZERO,
    lib.STUB_STORE,
    lib.STUB_PROTECT,
    lib.STUB_TELL,
)


class StubList:
    """Operations in order, as words for the stub; `biased` are the places of those that are addresses in a program."""

    __slots__ = ("biased", "words")

    def __init__(self) -> None:
        self.words: list[int] = []
        self.biased: list[int] = []

    def _add(self, kind: int, *args: int) -> None:
        self.words += (kind, *args, *(0,) * (7 - len(args)))

    def _add_at(self, kind: int, address: int, *args: int) -> None:
        self.biased.append(len(self.words) + 1)
        self._add(kind, address, *args)

    def map_program(self, elf: Elf, fd: int, is_relative: bool = False) -> None:
        """Maps every segment at its address + the bias (or + the stub's base, if is_relative)."""
        for segment in elf.segments:
            prot = protection(segment.flags)
            start = segment.vaddr & -PAGE
            file_end = segment.vaddr + segment.filesz
            mapped_end = (file_end + PAGE - 1) & -PAGE
            if segment.filesz:
                self._add_at(
                    _MMAP, start, mapped_end - start, prot, MAP_PRIVATE | MAP_FIXED, fd,
                    segment.offset & -PAGE, is_relative,
                )  # fmt: skip
            else:
                mapped_end = start
            end = segment.vaddr + segment.memsz
            if end > file_end and segment.filesz and prot & PROT_WRITE and file_end != mapped_end:
                # To the end of the page, as Linux does: ld.so's first allocations expect zeroes behind its bss.
                self._add_at(_ZERO, file_end, mapped_end - file_end, is_relative)
            if end > mapped_end:
                length = ((end + PAGE - 1) & -PAGE) - mapped_end
                self._add_at(
                    _MMAP, mapped_end, length, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, NO_FD, 0, is_relative
                )

    def reserve_base(self, elf: Elf) -> None:
        """Lets the host kernel choose a free range for the whole of it: the stub's base from here on."""
        low, size = elf.span
        self._add(_BASE, 0, size, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NO_FD, 0, low)

    def store_base(self, addr: int, offset: int = 0) -> None:
        """Puts base + offset into a word of the stack (an auxiliary vector's value)."""
        self._add(_STORE, addr, offset)

    def make_stack_executable(self, stack: int) -> None:
        self._add(_PROTECT, stack & -PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN)

    def finish(self, entry: int, is_relative: bool, tells: bool = False) -> bytes:
        """Ends with the jump; `tells`: the sentry hears of it before. Every list fits: elf.MAX_SEGMENTS bounds it."""
        if tells:
            self._add(_TELL, entry, is_relative)
        self._add(_END, entry, is_relative)
        return struct.pack(f"<{len(self.words)}Q", *self.words)


def program_list(elf: Elf, fd: int, bias: int) -> StubList:
    """A list that maps the program, to be gone on with. What is the same at each start is made once."""
    if elf.as_program is None:
        made = StubList()
        made.map_program(elf, fd)
        elf.as_program = made.words, made.biased
    words, biased = elf.as_program
    todo = StubList()
    todo.words += words
    for place in biased if bias else ():
        todo.words[place] += bias
    return todo


def add_interpreter(todo: StubList, elf: Elf, fd: int) -> None:
    """Goes on with the interpreter, which the host kernel finds a place for unless it has one."""
    if elf.as_interpreter is None:
        made = StubList()
        if elf.is_pie:
            made.reserve_base(elf)
        made.map_program(elf, fd, elf.is_pie)
        elf.as_interpreter = made.words
    todo.words += elf.as_interpreter


def protection(flags: int) -> int:
    """PF_* as PROT_*."""
    return (PROT_READ if flags & PF_R else 0) | (PROT_WRITE if flags & PF_W else 0) | (PROT_EXEC if flags & PF_X else 0)


def choose_bias(elf: Elf, *, is_random: bool) -> int:
    """What to add to a program's addresses: 0, or for a PIE a page of the region where Linux puts them: its first, or
    a random one."""
    if not elf.is_pie:
        return 0
    low, _ = elf.span
    page = int.from_bytes(os.urandom(4), "little") % PIE_RANDOM_PAGES if is_random else 0
    base = PIE_BASE + page * PAGE
    return ((base + elf.align - 1) & -elf.align) - (low & -elf.align)
