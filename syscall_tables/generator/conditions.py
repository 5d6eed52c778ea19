"""Argument conditions of `host` rows: `"flags & MAP_ANONYMOUS|MAP_HUGETLB == MAP_ANONYMOUS and fd == -1"`.

A row's `allow_if` is a list of alternatives; each is clauses joined by `and`; each clause compares one argument,
masked or not, with a value. Only registers can be judged: a filter cannot see memory.
Owns: parsing and meaning. Does not own: turning them into BPF (bpf_tail.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .arg_types import Argument, RowError
from .constants import Constants

_CLAUSE = re.compile(r"(?P<arg>\w+)(?: & (?P<mask>[\w|]+))? (?P<op>==|!=) (?P<value>-?[\w|]+)")
WORD = 0xFFFF_FFFF


@dataclass(frozen=True)
class Clause:
    """`(args[index] & mask) == value`, or `!=`. The mask never covers bits that the kernel does not look at."""

    index: int
    mask: int  # 64 bits
    value: int  # 64 bits, inside the mask
    is_equal: bool  # False: !=

    def holds(self, args: tuple[int, ...]) -> bool:
        return ((args[self.index] & self.mask) == self.value) is self.is_equal


Alternative = tuple[Clause, ...]


def any_holds(alternatives: tuple[Alternative, ...], args: tuple[int, ...]) -> bool:
    """True if all clauses of some alternative hold for the six raw registers."""
    return any(all(clause.holds(args) for clause in clauses) for clauses in alternatives)


def parse_alternative(text: str, args: tuple[Argument, ...], constants: Constants) -> Alternative:
    """One string of `allow_if` -> its clauses. RowError if it names what is not there or can never be true."""
    return tuple(_parse_clause(clause, args, constants) for clause in text.split(" and "))


def _parse_clause(text: str, args: tuple[Argument, ...], constants: Constants) -> Clause:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise RowError(f"condition {text!r} is not 'arg [& MASK] ==|!= VALUE'")
    index = next((i for i, arg in enumerate(args) if arg.name == match["arg"]), None)
    if index is None:
        raise RowError(f"condition {text!r} names no argument of the row")
    seen_bits = (1 << args[index].bits) - 1
    mask = _or_of(match["mask"], constants) if match["mask"] else seen_bits
    value = _or_of(match["value"], constants) & seen_bits
    if mask & ~seen_bits:
        raise RowError(f"condition {text!r} masks bits that the kernel ignores in a {args[index].text}")
    if value & ~mask:
        raise RowError(f"condition {text!r} can never be true")
    return Clause(index, mask, value, match["op"] == "==")


def _or_of(text: str, constants: Constants) -> int:
    value = 0
    for word in text.split("|"):
        value |= constants.value(word)
    return value
