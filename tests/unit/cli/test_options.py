"""The two parsers of one table: what the plain one accepts, click reads the same way."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.cli import options
from pysentry.cli.command import _spell_out, command
from pysentry.cli.plain import parse

BY_KIND = {kind: [o for o in options.RUN if o.kind == kind] for kind in ("value", "list", "flag", "optional")}
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def with_click(words: list[str]) -> tuple[dict[str, object], list[str]]:
    seen: list[tuple[dict[str, object], list[str]]] = []
    run = command("run", options.RUN, lambda values, argv: seen.append((values, argv)) or 0, "", takes_command=True)
    run.main(_spell_out(["run", *words])[1:], standalone_mode=False)
    return seen[0]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    words: list[str] = []
    for option in draw(st.lists(st.sampled_from(options.RUN), max_size=6, unique=True)):
        name = f"-{option.short}" if option.short and draw(st.booleans()) else f"--{option.name}"
        value = draw(WORD)
        if option.kind == "flag":
            words.append(name)
        elif option.kind == "optional":
            words.append(f"--{option.name}={value}" if value and draw(st.booleans()) else f"--{option.name}")
        elif draw(st.booleans()):
            words.append(f"--{option.name}={value}")
        else:
            words += [f"--{option.name}", value]
    if draw(st.booleans()):
        words.append("--")
    return [*words, "prog", *draw(st.lists(WORD, max_size=3))]


@given(command_lines())
def test_click_reads_what_the_plain_parser_reads(words: list[str]) -> None:
    plain = parse(options.RUN, words)
    assert plain is not None
    assert with_click(words) == plain


def test_the_programs_own_options_are_left_alone() -> None:
    assert parse(options.RUN, ["-v", "ls", "-l", "--", "--trace"]) == ({"verbose": True}, ["ls", "-l", "--", "--trace"])
    assert parse(options.RUN, ["--", "--trace"]) == ({}, ["--trace"])
    assert with_click(["--trace", "ls", "--trace"]) == ({"trace": "-"}, ["ls", "--trace"])


@pytest.mark.parametrize(
    "words", [["--no-such"], ["--bind"], ["--verbose=1", "ls"], ["-v=1", "ls"], ["--help"], ["-tv", "ls"]]
)
def test_the_plain_parser_leaves_the_rest_to_click(words: list[str]) -> None:
    assert parse(options.RUN, words) is None


def test_click_joins_short_flags() -> None:
    assert with_click(["-tv", "ls"]) == ({"tty": True, "verbose": True}, ["ls"])


def test_an_empty_value_is_a_value() -> None:
    assert with_click(["--cwd=", "ls"]) == parse(options.RUN, ["--cwd=", "ls"]) == ({"cwd": ""}, ["ls"])


def test_every_option_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit):
        command("run", options.RUN, lambda *_: 0, "", takes_command=True).main(["--help"], standalone_mode=False) or (
            _ for _ in ()
        ).throw(click.exceptions.Exit(0))
    shown = capsys.readouterr().out
    assert all(f"--{option.name}" in shown for option in options.RUN)
