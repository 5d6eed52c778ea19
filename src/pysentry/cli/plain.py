"""Parses an ordinary command line from the table in options.py, importing nothing.

click alone takes longer to import than a whole run of /bin/true should, so `pysentry run` only falls back to it when
this parser meets something it does not expect: then it answers None, and click finds the error or prints the help.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.cli.options import Option, Verb

Values = dict[str, object]


def parse(options: Sequence[Option], words: list[str]) -> tuple[Values, list[str]] | None:
    """(values by key, the command) - or None: ask click. Options end at `--` or at the first word that is none."""
    values: Values = {}
    names = {"--" + option.name: option for option in options}
    names |= {"-" + option.short: option for option in options if option.short}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return values, words[position:]
        if not word.startswith("-") or word == "-":
            return values, words[position - 1 :]
        name, equals, value = word.partition("=")
        option = names.get(name)
        if option is None or (equals and (option.kind == "flag" or not name.startswith("--"))):
            return None
        if option.kind == "flag":
            values[option.key] = True
        elif option.kind == "optional":
            values[option.key] = value if equals else "-"
        else:
            if not equals:
                if position == len(words):
                    return None
                value = words[position]
                position += 1
            _keep(option, value, values)
    return values, []


class UnknownOption(Exception):
    """str() is what is wrong, in runc's words."""


def parse_global(options: Sequence[Option], words: list[str]) -> tuple[Values, list[str]]:
    """(values of the options before the verb, the verb and the rest). Raises UnknownOption."""
    values: Values = {}
    names = _names(options)
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position = _take(names, words, position, values)
    return values, words[position:]


def parse_verb(verb: Verb, words: list[str]) -> tuple[Values, list[str]]:
    """(values by key, the words) of a runtime's verb: as Go's flags are read, so -x is --x, a flag may have =false, and
    `--` ends them. Unless the verb stops at the first word, options may stand anywhere. Raises UnknownOption."""
    values: Values = {}
    names = _names(verb.options)
    found: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return values, found + words[position + 1 :]
        if word.startswith("-") and word != "-":
            position = _take(names, words, position, values)
        elif verb.stops:
            rest = words[position + 1 :]
            return values, [word, *(rest[1:] if rest[:1] == ["--"] else rest)]
        else:
            found.append(word)
            position += 1
    return values, found


def _names(options: Sequence[Option]) -> dict[str, Option]:
    return {option.name: option for option in options} | {option.short: option for option in options if option.short}


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "t": True, "f": False}


def _take(names: dict[str, Option], words: list[str], position: int, values: Values) -> int:
    """Reads the option at a position; where the next word is."""
    name, equals, value = words[position].partition("=")
    name = name.removeprefix("-").removeprefix("-")
    option = names.get(name)
    if option is None:
        raise UnknownOption(f"flag provided but not defined: -{name}")
    position += 1
    if option.kind == "flag":
        if equals and value.lower() not in _BOOLEANS:
            raise UnknownOption(f'invalid boolean value "{value}" for -{name}')
        values[option.key] = _BOOLEANS[value.lower()] if equals else True
        return position
    if not equals:
        if position == len(words):
            raise UnknownOption(f"flag needs an argument: -{name}")
        value = words[position]
        position += 1
    _keep(option, value, values)
    return position


def _keep(option: Option, value: str, values: Values) -> None:
    if option.kind == "list":
        several = values.setdefault(option.key, [])
        assert isinstance(several, list)
        several.append(value)
    else:
        values[option.key] = value
