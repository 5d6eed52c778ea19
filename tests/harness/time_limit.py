"""Runs that `--timeout` ends after the program has come to some point: on a loaded machine that takes a longer one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.harness.runner import Result, Runner

LIMITS_S = (2, 8, 32, 128)


def run_to_time_limit(
    runner: Runner, argv: Sequence[str], has_come: Callable[[Result], bool], options: Sequence[str] = ()
) -> Result:
    """The first run that `has_come` to the point; each ends by its time limit."""
    for limit_s in LIMITS_S:
        result = runner.run(argv, options=[*options, f"--timeout={limit_s}"])
        assert result.status == 124, result
        if has_come(result):
            return result
    raise AssertionError(f"it does not come to the point in {limit_s} s: {result}")
