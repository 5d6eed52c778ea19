"""The command line of an OCI runtime: global options, a verb, its options and words; errors to the log and to stderr.

Every verb is a function `verb(call)` in the module of its name, imported when it is asked for. Nothing slow is
imported: engines call `state` after every step.
"""

from __future__ import annotations

import os
import sys

from pysentry.cli.options import GLOBAL, OCI
from pysentry.cli.plain import UnknownOption, parse_global, parse_verb
from pysentry.oci.errors import OciError, UsageError
from pysentry.oci.log import Log
from pysentry.sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.oci.settings import Settings
    from pysentry.oci.state import Store

MODULES = {
    "exec": "execute",
    "list": "listing",
    "pause": "freezing",
    "resume": "freezing",
    "restore": "checkpoint",
    "run": "run_container",
    "spec": "features",
}
"""Where the module is not called as the verb: a keyword, a builtin, two verbs of one kind."""
FUNCTIONS = {"exec": "execute", "list": "listing", "run": "run_container"}
EXEC_FAILED = 255
"""runc's status where `exec` itself fails, so that it isn't taken for the program's."""


class Call:
    """One call of a verb. values: its options by key; words: what else was given."""

    __slots__ = ("log", "settings", "values", "verb", "words")

    def __init__(self, verb: str, values: dict[str, object], words: list[str], settings: Settings, log: Log) -> None:
        self.verb = verb
        self.values = values
        self.words = words
        self.settings = settings
        self.log = log

    @property
    def store(self) -> Store:
        from pysentry.oci.state import Store, default_root

        return Store(os.path.abspath(self.settings.root) if self.settings.root else default_root())

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> list[str]:
        value = self.values.get(key)
        return value if isinstance(value, list) else []

    def flag(self, key: str) -> bool:
        return bool(self.values.get(key))

    def number(self, key: str) -> int:
        """0 if it was not given."""
        value = self.text(key)
        if not value:
            return 0
        try:
            return int(value)
        except ValueError:
            raise UsageError(f'invalid value "{value}" for flag -{key.replace("_", "-")}: parse error') from None


def is_ours(words: list[str]) -> bool:
    """Whether the command line is one for this module: a global option or a verb of runtimes comes first.

    `run` is both the direct command and a verb. It is the verb after a global option, and where an option of the verb
    is among its options; with `--` it never is.
    """
    if not words:
        return False
    first = words[0]
    if first.startswith("-"):
        return first not in ("-h", "--help")
    return _is_oci_run(words[1:]) if first == "run" else first in OCI


def _is_oci_run(words: list[str]) -> bool:
    """As written above. Values of options are skipped as far as the direct command's are known."""
    from pysentry.cli.options import OCI_RUN, RUN

    ours = {f"--{option.name}" for option in OCI_RUN} | {f"-{option.short}" for option in OCI_RUN if option.short}
    valued = {f"--{option.name}" for option in (*RUN, *OCI_RUN) if option.kind in ("value", "list")} | {"-b"}
    has_ours = False
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return False
        if word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=")
            has_ours |= name in ours
            position += 1 if equals or name not in valued else 2
        elif has_ours:
            position += 1
        else:
            return False
    return has_ours


def dispatch(words: list[str]) -> int:
    """Runs a verb; returns the exit status. Errors were told then."""
    log = Log()
    verb = ""
    try:
        try:
            given, rest = parse_global(GLOBAL, words)
        except UnknownOption as unknown:
            raise UsageError(str(unknown)) from None
        if given.pop("version", False):
            return _print_version()
        settings = _settings(given)
        log = Log(settings.log, settings.log_format, settings.debug)
        verb, rest = (rest[0], rest[1:]) if rest else ("", [])
        log.debug(" ".join((verb, *rest)))
        return _run(verb, rest, settings, log)
    except OciError as error:
        log.error(f"exec failed: {error}" if verb == "exec" else str(error))
        return EXEC_FAILED if verb == "exec" else 1
    except SandboxError as error:
        log.error(str(error))
        return 1


def _settings(given: dict[str, object]) -> Settings:
    from pysentry.oci.settings import load_settings

    settings = load_settings(given)
    if settings.root and os.path.abspath(settings.root) == "/":
        raise UsageError("Option --root argument should not be set to /")
    return settings


def _run(name: str, words: list[str], settings: Settings, log: Log) -> int:
    verb = OCI.get(name)
    if verb is None or (name == "run" and "--" in words):
        if name and verb is None and not name.startswith("-"):
            raise UsageError(f"No help topic for '{name}'")
        raise UsageError("options of `pysentry run -- CMD` stand after `run`" if name else "no verb given")
    try:
        values, rest = parse_verb(verb, words)
    except UnknownOption as unknown:
        if not {"-h", "--help"}.isdisjoint(words):
            from pysentry.cli.command import dispatch as with_click

            return with_click([name, "--help"])
        raise UsageError(str(unknown)) from None
    least, most = verb.words
    if least == most != len(rest):
        raise UsageError(f'pysentry: "{name}" requires exactly {least} argument(s)')
    if len(rest) < least:
        raise UsageError(f'pysentry: "{name}" requires a minimum of {least} argument(s)')
    if most is not None and len(rest) > most:
        raise UsageError(f'pysentry: "{name}" requires a maximum of {most} argument(s)')
    return _function(name)(Call(name, values, rest, settings, log))


def _function(name: str) -> Callable[[Call], int]:
    module = f"pysentry.cli.{MODULES.get(name, name)}"
    __import__(module)
    function: Callable[[Call], int] = getattr(sys.modules[module], FUNCTIONS.get(name, name))
    return function


def _print_version() -> int:
    """The first line is what go-runc reads: it knows no other name."""
    from pysentry import __version__
    from pysentry.oci.spec import VERSION

    write_out(f"runc version {__version__}-pysentry\ncommit: v{__version__}\nspec: {VERSION}\n")
    return 0


def write_out(text: str) -> None:
    """To stdout as a whole. Raises OciError: it is closed, or its disk full."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError as error:
        raise OciError(f"write /dev/stdout: {error.strerror}") from None
