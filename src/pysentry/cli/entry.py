"""The console script: `pysentry run` by the shortest way, everything else through click.

Owns the last line of every failure and the exit status. Imports no more than it needs on the way to the gofer's fork.
"""

from __future__ import annotations

import gc
import os
import sys

from pysentry.cli import packed

# A start makes many objects that stay and hardly any garbage; boot turns the collector on again.
gc.disable()
packed.install(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from pysentry.sandbox.errors import EXIT_OURS, SandboxError  # noqa: E402 - through the pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line of this process and leaves it. There is nothing to tidy up that the kernel does not, and
    taking down an interpreter costs more than many a program it ran."""
    status = EXIT_OURS
    try:
        status = dispatch(sys.argv[1:])
    except SandboxError as error:
        say(str(error))
        status = error.status
    except KeyboardInterrupt:
        status = 130
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else EXIT_OURS
    except BaseException:
        _unexpected()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed when Python started
                stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status & 0xFF)


def dispatch(words: list[str]) -> int:
    """Runs one verb and returns its exit status."""
    if words and words[0] == "run":
        from pysentry.cli.options import RUN
        from pysentry.cli.plain import parse

        parsed = parse(RUN, words[1:])  # None for the runtimes' verb `run` with its options: none of them is in RUN
        if parsed is not None and parsed[1]:
            from pysentry.cli.run import run

            return run(*parsed)
    from pysentry.cli.options import OCI

    if words and (words[0] in OCI or words[0].startswith("-")):
        from pysentry.cli.verbs import dispatch as as_runtime
        from pysentry.cli.verbs import is_ours

        if is_ours(words):
            return as_runtime(words)
    from pysentry.cli.command import dispatch as with_click

    return with_click(words)


def say(message: str) -> None:
    """One line on stderr, even if a name in it is not text."""
    line = f"pysentry: {message}".replace("\n", " ") + "\n"
    try:
        os.write(2, line.encode("utf-8", "surrogateescape"))
    except OSError:
        pass


def _unexpected() -> None:
    """A bug of ours. The interpreter's own printer: after the lock-up neither modules nor source lines can be read."""
    kind, error, where = sys.exc_info()
    if kind is not None and error is not None:
        sys.__excepthook__(kind, error, where)
    say("internal error; please report the lines above")
