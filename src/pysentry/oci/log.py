"""--log and --log-format: how a verb's failure reaches an engine.

Errors only, so one line: podman reads the whole file as one object. --debug adds warnings and what was done. The text
of an error goes to stderr, too.
"""

from __future__ import annotations

import os
import time

from pysentry.oci.errors import OciError, UsageError
from pysentry.sandbox.messages import encode

FORMATS = ("text", "json")


class Log:
    """Where lines go: a file (appended to, never truncated), or stderr without one.

    A line is written with one write(2), so those of several processes never mix.
    """

    __slots__ = ("_fd", "_is_debug", "_is_json")

    def __init__(self, path: str = "", form: str = "text", is_debug: bool = False) -> None:
        if form not in FORMATS:
            raise UsageError(f"invalid log-format: {form}")
        self._is_json = form == "json"
        self._is_debug = is_debug
        self._fd = 2
        if path:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
            except OSError as error:
                raise OciError(f"open {path}: {error.strerror}") from None

    def error(self, message: str) -> None:
        if self._fd != 2:
            self._line("error", message)
        _write(2, message.replace("\n", " ") + "\n")

    def warn(self, message: str) -> None:
        if self._is_debug:
            self._line("warning", message)

    def debug(self, message: str) -> None:
        if self._is_debug:
            self._line("debug", message)

    def _line(self, level: str, message: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._is_json:
            text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            line = encode({"level": level, "msg": text, "time": now})
        else:
            line = f'time="{now}" level={level} msg={_quoted(message)}'
        _write(self._fd, line + "\n")


def _quoted(message: str) -> str:
    """As Go's %q, which text-format readers expect."""
    escaped = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _write(fd: int, line: str) -> None:
    try:
        os.write(fd, line.encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # a full disk or a closed stderr: the exit status is left
