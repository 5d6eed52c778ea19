"""Counts and tells of the sentry's own bugs: an unexpected exception is never silent and never allows anything."""

from __future__ import annotations

import os
import sys

from pysentry.platform.native import lib

_MAX_LOGGED = 20


def internal_error(where: str) -> None:
    """Logs the exception being handled, with its traceback, to stderr, and counts it for the run report."""
    lib.sentry_stats.internal_errors += 1
    if lib.sentry_stats.internal_errors > _MAX_LOGGED:
        return
    text = f"pysentry: internal error in {where} (a bug of pysentry; the call was refused)\n{_backtrace()}"
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody listens; it is counted


def _backtrace() -> str:
    """The exception being handled, without the traceback module: it would read source files, and there are none."""
    lines = []
    error = sys.exception()
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            code = frame.tb_frame.f_code
            lines.append(f"  {code.co_filename}:{frame.tb_lineno} in {code.co_qualname}\n")
            frame = frame.tb_next
        lines.append(f"  {type(error).__name__}: {error}\n")
        error = error.__context__
    return "".join(lines)
