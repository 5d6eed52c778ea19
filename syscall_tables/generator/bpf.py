"""Classic BPF as seccomp runs it: instructions, and the tail that judges arguments.

libseccomp's generic rules know no `else errno` and at most one comparison per argument, so conditional rows are
compiled here, each to one block that ends in a return. Offsets are those of `struct seccomp_data`.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from .conditions import WORD, Alternative, Clause
from .rows import Row

LD_W_ABS = 0x20
ALU_AND_K = 0x54
JMP_JA = 0x05
JMP_JEQ_K = 0x15
RET_K = 0x06
ARGS_OFFSET = 16  # offsetof(struct seccomp_data, args); little endian: low word first

RET_ALLOW = 0x7FFF_0000
RET_ERRNO = 0x0005_0000
RET_TRACE = 0x7FF0_0000
RET_USER_NOTIF = 0x7FC0_0000
RET_KILL_PROCESS = 0x8000_0000


class Instruction(NamedTuple):
    """struct sock_filter"""

    code: int
    jt: int
    jf: int
    k: int


def unpack(program: bytes) -> list[Instruction]:
    """An array of struct sock_filter, as seccomp_export_bpf writes it."""
    return [Instruction(*fields) for fields in struct.iter_unpack("<HBBI", program)]


class _Block:
    """Instructions with jumps to labels, forward only. Remembers what A holds to leave out repeated loads."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.fixups: list[tuple[int, bool, str]] = []  # (instruction, is the true branch, label)
        self.labels: dict[str, int] = {}
        self.loaded: tuple[int, int] | None = None  # (offset of the word, mask)

    def load(self, offset: int, mask: int) -> None:
        if self.loaded == (offset, mask):
            return
        self.code.append(Instruction(LD_W_ABS, 0, 0, offset))
        if mask != WORD:
            self.code.append(Instruction(ALU_AND_K, 0, 0, mask))
        self.loaded = (offset, mask)

    def jump_if_equal(self, value: int, then: str | None, otherwise: str | None) -> None:
        for label, is_true in ((then, True), (otherwise, False)):
            if label is not None:
                self.fixups.append((len(self.code), is_true, label))
        self.code.append(Instruction(JMP_JEQ_K, 0, 0, value))

    def label(self, name: str, keeps_a: bool) -> None:
        self.labels[name] = len(self.code)
        if not keeps_a:
            self.loaded = None

    def finish(self) -> list[Instruction]:
        for at, is_true, label in self.fixups:
            distance = self.labels[label] - at - 1
            assert 0 <= distance <= 255, f"jump of {distance}"
            self.code[at] = self.code[at]._replace(**{"jt" if is_true else "jf": distance})
        return self.code


def _words(clause: Clause) -> list[tuple[int, int, int]]:
    """A 64-bit comparison as (offset, mask, value) of the 32-bit words that matter, low word first."""
    low_offset = ARGS_OFFSET + 8 * clause.index
    low = (low_offset, clause.mask & WORD, clause.value & WORD)
    high = (low_offset + 4, clause.mask >> 32, clause.value >> 32)
    return [word for word in (low, high) if word[1]]


def judge_arguments(alternatives: tuple[Alternative, ...], otherwise: int) -> list[Instruction]:
    """RET_ALLOW if any alternative holds, else `return otherwise`."""
    block = _Block()
    # A chain of tests of one masked word (futex, arch_prctl) leaves A alone on every path: load it once.
    tests = [[word for clause in clauses for word in _words(clause)] for clauses in alternatives]
    is_chain = all(len(words) == 1 and words[0][:2] == tests[0][0][:2] for words in tests)
    for number, clauses in enumerate(alternatives):
        block.label(f"alternative{number}", keeps_a=is_chain)
        failed = f"alternative{number + 1}"
        for position, clause in enumerate(clauses):
            words = _words(clause)
            passed = f"passed{number}.{position}"
            for offset, mask, value in words:
                block.load(offset, mask)
                if clause.is_equal:
                    block.jump_if_equal(value, None, failed)
                elif (offset, mask, value) == words[-1]:
                    block.jump_if_equal(value, failed, None)
                else:
                    block.jump_if_equal(value, None, passed)
            block.label(passed, keeps_a=clause.is_equal or len(words) == 1)
        block.code.append(Instruction(RET_K, 0, 0, RET_ALLOW))
    block.label(f"alternative{len(alternatives)}", keeps_a=False)
    block.code.append(Instruction(RET_K, 0, 0, otherwise))
    return block.finish()


def otherwise_verdict(row: Row, trap: int) -> int:
    """What a conditional row returns when its conditions fail: the trap verdict, or its errno."""
    return trap if row.trapped else RET_ERRNO | int(getattr(errno, row.otherwise))
