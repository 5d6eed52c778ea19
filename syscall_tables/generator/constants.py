"""The named values of ../constants.toml: sets of flags, and every single name in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from .arg_types import RowError


class Constants:
    """Sets (`open_flags`) and single constants (`O_CLOEXEC`)."""

    def __init__(self, sets: dict[str, dict[str, int]]) -> None:
        self.sets = sets
        self.values: dict[str, int] = {}
        for group, members in sets.items():
            for name, value in members.items():
                if self.values.setdefault(name, value) != value:
                    raise RowError(f"constants.toml: {name} has two values (second in [{group}])")

    @classmethod
    def load(cls, path: Path) -> Constants:
        return cls(tomllib.loads(path.read_text()))

    def value(self, word: str) -> int:
        """A number (any Python base, may be negative) or a constant's name -> its value. RowError if unknown."""
        try:
            return int(word, 0)
        except ValueError:
            pass
        if word not in self.values:
            raise RowError(f"unknown constant {word!r}")
        return self.values[word]

    def members(self, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        """Sets and constants -> (name, value) pairs, each once, in the order named."""
        pairs: dict[str, int] = {}
        for name in names:
            pairs.update(self.sets[name] if name in self.sets else {name: self.value(name)})
        return tuple(pairs.items())

    def known(self, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        """As `members`, then what else the sets that those names come from hold: what a tracer can name.

        A value that is already named is left out (AT_EACCESS and AT_REMOVEDIR are one bit).
        """
        pairs = list(self.members(names))
        taken = {value for _, value in pairs}
        for members in self.sets.values():
            if any(name in members for name, _ in pairs):
                pairs += [(name, value) for name, value in members.items() if value not in taken]
                taken.update(members.values())
        return tuple(pairs)
