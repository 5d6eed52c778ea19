"""The ways a test's program is run: on the host, and under pysentry by engine, fast path and user.

Owns the names used on the pytest command line (--configs) and the sets that the test folders choose from. Running is
runner.py's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Configuration:
    """One way to run a program. `platform` None: on the host, with no sandbox."""

    name: str
    platform: str | None = None
    fast_path: bool = True
    unprivileged: bool = False

    @property
    def is_native(self) -> bool:
        return self.platform is None

    @property
    def options(self) -> list[str]:
        """What goes between `pysentry run` and the test's own options."""
        if self.platform is None:
            return []
        return [f"--platform={self.platform}", *([] if self.fast_path else ["--fast-path=off"])]


ALL = {
    configuration.name: configuration
    for configuration in (
        Configuration("native"),
        Configuration("native-user", unprivileged=True),
        Configuration("seccomp", "seccomp"),
        Configuration("seccomp-slow", "seccomp", fast_path=False),
        Configuration("ptrace", "ptrace"),
        Configuration("ptrace-slow", "ptrace", fast_path=False),
        Configuration("user", "auto", unprivileged=True),
        Configuration("user-ptrace", "ptrace", unprivileged=True),
    )
}

# Each test of a guest by itself: on Linux as it is, on both engines, without the fast paths, and rootless.
GUESTS = ("native", "seccomp", "seccomp-slow", "ptrace", "user")
# Without the engine that traces with the same means: there is no ptrace(2) inside.
TRACED_GUESTS = ("native", "native-user", "seccomp", "seccomp-slow", "user")
# The same tests in one run for each guest, for the rest of the combinations: a tenth of the time.
WHOLE_GUESTS = ("native-user", "ptrace-slow", "user-ptrace")
# Real programs: both engines, root and unprivileged, and once with every call answered in Python.
PROGRAMS = ("native", "seccomp", "seccomp-slow", "ptrace", "user", "user-ptrace")
# What concerns the command rather than calls: one engine, root and unprivileged.
COMMAND = ("seccomp", "user")
DEFAULT = ("native", "seccomp")


def is_root() -> bool:
    return os.geteuid() == 0
