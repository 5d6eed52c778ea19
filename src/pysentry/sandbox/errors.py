"""How starting a sandbox may fail: the one line that the user reads, and the exit status that goes with it.

Owns the exceptions that leave `pysentry.sandbox`. Errors of the workload's own calls are pysentry.abi.errno's.
"""

from __future__ import annotations

EXIT_OURS = 125
"""pysentry itself failed, before or while the program ran (docker's and timeout's number)."""
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_TIMEOUT = 124
"""--timeout ended the run, as timeout(1) reports it."""


class SandboxError(Exception):
    """The sandbox could not be started or could not go on. str() is one line for the user; `status` our exit status."""

    status = EXIT_OURS


class ConfigError(SandboxError):
    """An option has a value that cannot be used."""


class NamespaceError(SandboxError):
    """A namespace, or something else that isolates, could not be had. There is no weaker mode to fall back to."""


class CommandError(SandboxError):
    """The command cannot be executed: status 127 if there is no such file, 126 if it is there."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def describe(number: int) -> str:
    """An error number of the host as words: 'Operation not permitted (EPERM)'."""
    from errno import errorcode
    from os import strerror

    number = abs(number)
    return f"{strerror(number)} ({errorcode.get(number, number)})"
