"""The click side: help, usage errors, and the verbs that are in no hurry. Built from the tables in options.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from pysentry.cli import options
from pysentry.cli.entry import say
from pysentry.cli.options import Option
from pysentry.sandbox.errors import EXIT_OURS

COMMAND_SETTINGS: dict[str, object] = {"help_option_names": ["-h", "--help"]}


def dispatch(words: list[str]) -> int:
    """Runs one verb; a usage error is one line and status 125 (2 could be the sandboxed program's)."""
    try:
        result = group().main(_spell_out(words), prog_name="pysentry", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        say(error.format_message())
        return EXIT_OURS
    return result if isinstance(result, int) else 0


def group() -> click.Group:
    """All verbs. Each is imported when it is asked for."""
    verbs = _Verbs(
        "pysentry",
        help="Runs unmodified Linux programs in a sandbox that answers their system calls itself.",
        epilog="Verbs of an OCI runtime (create, start, state, ...) take these options before the verb: "
        + ", ".join(f"--{option.name}" for option in options.GLOBAL)
        + ".",
        context_settings=COMMAND_SETTINGS,
        no_args_is_help=True,
    )
    return click.version_option(package_name="pysentry")(verbs)


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS) + [name for name in options.OCI if name not in _VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        make = _VERBS.get(cmd_name)
        if make is not None:
            return make()
        return _of_a_runtime(cmd_name) if cmd_name in options.OCI else None


def _run() -> click.Command:
    from pysentry.cli.run import run

    verb = command("run", options.RUN, run, "Run a program in a new sandbox.", takes_command=True)
    theirs = ", ".join(f"--{option.name}" for option in options.OCI_RUN if option.help)
    verb.epilog = (
        "As the verb of an OCI runtime, `run [OPTIONS] <container-id>` creates and starts a container: with one of "
        f"{theirs}, or after a global option such as --root. With `--` it never is."
    )
    return verb


def _of_a_runtime(name: str) -> click.Command:
    """For its help alone: cli/verbs.py runs it."""
    verb = options.OCI[name]
    params: list[click.Parameter] = [_parameter(option) for option in verb.options if option.help]
    if verb.metavar:
        params.append(click.Argument(["words"], nargs=-1, metavar=verb.metavar))
    return click.Command(name, params=params, help=verb.help, short_help=verb.help, context_settings=COMMAND_SETTINGS)


def _doctor() -> click.Command:
    from pysentry.cli.doctor import doctor

    return command("doctor", options.DOCTOR, doctor, "What this host offers, what that means, and how to get the rest.")


def _install() -> click.Command:
    from pysentry.cli.install import install

    return command("install", options.INSTALL, install, "Let a container engine know us by name; shows what changes.")


def _syscalls() -> click.Command:
    from pysentry.cli.syscalls import syscalls

    return command(
        "syscalls", options.SYSCALLS, syscalls, "The table of system calls: who answers each, and how completely."
    )


_VERBS: dict[str, Callable[[], click.Command]] = {
    "run": _run,
    "doctor": _doctor,
    "install": _install,
    "syscalls": _syscalls,
}


def command(
    name: str, table: Sequence[Option], function: Callable[..., int], help: str, takes_command: bool = False
) -> click.Command:
    """A click command from a table of options. `function` gets (values by key, words) and returns the exit status."""
    params: list[click.Parameter] = [_parameter(option) for option in table]
    words = click.Argument(
        ["words"], nargs=-1, type=click.UNPROCESSED, metavar="[--] CMD [ARGS]..." if takes_command else "[NAME]..."
    )
    params.append(words)
    kinds = {option.key: option.kind for option in table}

    def call(words: tuple[str, ...], **given: object) -> int:
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value}
        values |= {key: "" for key, value in given.items() if value == "" and kinds[key] != "flag"}
        return function(values, list(words))

    settings = COMMAND_SETTINGS | {"allow_interspersed_args": not takes_command}
    return click.Command(name, params=params, callback=call, help=help, short_help=help, context_settings=settings)


def _parameter(option: Option) -> click.Option:
    names = [f"-{option.short}"] if option.short else []
    names += [f"--{option.name}", option.key]
    if option.kind == "flag":
        return click.Option(names, is_flag=True, help=option.help)
    metavar = f"[={option.metavar}]" if option.kind == "optional" else option.metavar
    return click.Option(names, metavar=metavar, multiple=option.kind == "list", help=option.help)


def _spell_out(words: list[str]) -> list[str]:
    """`--trace` as `--trace=-`, as click would take the next word for its value. Only up to the program's words."""
    table = {"run": options.RUN, "doctor": options.DOCTOR, "syscalls": options.SYSCALLS}.get(
        words[0] if words else "", ()
    )
    optional = {"--" + option.name for option in table if option.kind == "optional"}
    valued = {"--" + option.name for option in table if option.kind in ("value", "list")}
    spelled = words[:1]
    position = 1
    while position < len(words):
        word = words[position]
        if word == "--" or not word.startswith("-"):
            break
        spelled.append(word + "=-" if word in optional else word)
        position += 1
        if word in valued and position < len(words):
            spelled.append(words[position])
            position += 1
    return spelled + words[position:]
