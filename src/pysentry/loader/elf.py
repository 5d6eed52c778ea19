"""ELF headers of x86-64 programs: what to map where. Pure: bytes in, numbers out (elf(5), fs/binfmt_elf.c).

Does not read files (kernel/exec.py does) and does not choose addresses (stub_list.py does).
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import ENOEXEC

PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551
ET_EXEC, ET_DYN = 2, 3
EM_X86_64 = 62
PF_X, PF_W, PF_R = 1, 2, 4
PAGE = 4096
MAX_SEGMENTS = 40
_EHDR = Struct("<16sHHIQQQIHHHHHH")
_PHDR = Struct("<IIQQQQQQ")
_TASK_SIZE = 0x7FFFFFFFF000


class Segment:
    """A PT_LOAD: file range to memory range, sizes in bytes, protection as PF_* bits."""

    __slots__ = ("filesz", "flags", "memsz", "offset", "vaddr")

    def __init__(self, flags: int, offset: int, vaddr: int, filesz: int, memsz: int) -> None:
        self.flags = flags
        self.offset = offset
        self.vaddr = vaddr
        self.filesz = filesz
        self.memsz = memsz


class Elf:
    """A parsed program or interpreter."""

    __slots__ = (
        "align",
        "as_interpreter",
        "as_program",
        "entry",
        "interp_range",
        "is_pie",
        "phdr_vaddr",
        "phent",
        "phnum",
        "segments",
        "wants_exec_stack",
    )

    def __init__(self, entry: int, phent: int, phnum: int, is_pie: bool) -> None:
        self.entry = entry
        self.phent = phent
        self.phnum = phnum
        self.is_pie = is_pie
        self.phdr_vaddr = 0
        self.segments: list[Segment] = []
        self.interp_range: tuple[int, int] | None = None
        self.align = PAGE
        self.wants_exec_stack = False
        # What stub_list.py made of it: words, and the places of those that are addresses.
        self.as_program: tuple[list[int], list[int]] | None = None
        self.as_interpreter: list[int] | None = None

    @property
    def span(self) -> tuple[int, int]:
        """Page-aligned (lowest address, size) of all segments."""
        low = self.segments[0].vaddr & -PAGE
        last = self.segments[-1]
        return low, ((last.vaddr + last.memsz + PAGE - 1) & -PAGE) - low


def parse(head: bytes, file_size: int) -> Elf:
    """Reads the headers. head: the file's first page. Raises ENOEXEC for anything Linux would not execute either."""
    if len(head) < _EHDR.size or head[:4] != b"\x7fELF":
        raise ENOEXEC("not an ELF file")
    ident, kind, machine, _, entry, phoff, _, _, _, phent, phnum, _, _, _ = _EHDR.unpack_from(head)
    if ident[4] != 2 or ident[5] != 1 or machine != EM_X86_64:
        raise ENOEXEC("an ELF file of another architecture")
    if kind not in (ET_EXEC, ET_DYN) or phent != _PHDR.size or not phnum:
        raise ENOEXEC("not an executable ELF file")
    if phoff + phnum * phent > len(head):
        raise ENOEXEC("truncated: no program headers")
    elf = Elf(entry, phent, phnum, kind == ET_DYN)
    for index in range(phnum):
        p_type, flags, offset, vaddr, _, filesz, memsz, align = _PHDR.unpack_from(head, phoff + index * phent)
        if p_type == PT_LOAD:
            if filesz > memsz or vaddr % PAGE != offset % PAGE or memsz > _TASK_SIZE or vaddr + memsz > _TASK_SIZE:
                raise ENOEXEC("a segment that cannot be mapped")
            if offset + filesz > file_size:
                raise ENOEXEC("truncated: a segment lies past the end of the file")
            if align & (align - 1) == 0:
                elf.align = max(elf.align, align)
            elf.segments.append(Segment(flags, offset, vaddr, filesz, memsz))
            if offset <= phoff < offset + filesz:
                elf.phdr_vaddr = phoff - offset + vaddr
        elif p_type == PT_INTERP and elf.interp_range is None:
            if not 2 <= filesz <= PAGE:
                raise ENOEXEC("interpreter name")
            elf.interp_range = (offset, filesz)
        elif p_type == PT_GNU_STACK:
            elf.wants_exec_stack = bool(flags & PF_X)
    if not elf.segments or len(elf.segments) > MAX_SEGMENTS:
        raise ENOEXEC("no segments, or too many")
    return elf
