"""Made-up tests and results for the tests of the suite."""

from __future__ import annotations

from bench.compat.case import NATIVE, Case, Result
from bench.compat.journal import Results
from bench.compat.runtimes import Runtime

HOST = Runtime(NATIVE, "native")
SENTRY = Runtime("seccomp", "pysentry", ("pysentry", "run"))
OTHER = Runtime("other", "oci", ("other",))


def case(name: str, script: str = "exit 0", limit_s: float = 60.0, syscalls: tuple[str, ...] = ("pipe",)) -> Case:
    """A test that a shell does; its status is judged as LTP's."""
    return Case("ltp", name, "pipe", ("/bin/sh", "-c", script), limit_s, syscalls=syscalls)


def results(**outcomes: str) -> Results:
    """results(a="pass fail"): test ltp:a natively, then under seccomp."""
    found = {}
    for name, words in outcomes.items():
        for runtime, outcome in zip((NATIVE, "seccomp"), words.split(), strict=False):
            key = f"ltp:{name}"
            found[key, runtime] = Result(key, runtime, outcome, "" if outcome == "pass" else "TFAIL: why", 0)
    return found
