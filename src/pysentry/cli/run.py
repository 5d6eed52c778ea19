"""`pysentry run [options] -- CMD [ARGS]`: one program in a sandbox, from its standard streams to its exit status."""

from __future__ import annotations

import os

from pysentry.sandbox.config import run_config
from pysentry.sandbox.launcher import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def run(options: Mapping[str, object], argv: list[str]) -> int:
    """The exit status: the program's own, 128 + N for signal N, 124 after --timeout, 125, 126, 127 for our failures."""
    return launch(run_config(options, argv, _environment()))


def _environment() -> dict[str, str]:
    """Our caller's environment. In the C locale the interpreter adds LC_CTYPE=C.UTF-8 to it (PEP 538), which the
    program must not see; what we were started with is in /proc."""
    environment = dict(os.environ)
    if environment.get("LC_CTYPE") == "C.UTF-8":
        try:
            with open("/proc/self/environ", "rb") as first:
                if b"LC_CTYPE=" not in first.read():
                    del environment["LC_CTYPE"]
        except OSError:
            pass
    return environment
