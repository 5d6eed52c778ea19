"""Parses an ordinary command line from the table in options.py, importing nothing.

click alone takes longer to import than a whole run of /bin/true should, so `pysentry run` only falls back to it when
this parser meets something it does not expect: then it answers None, and click finds the error or prints the help.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.cli.options import Option

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
            if option.kind == "list":
                several = values.setdefault(option.key, [])
                assert isinstance(several, list)
                several.append(value)
            else:
                values[option.key] = value
    return values, []
