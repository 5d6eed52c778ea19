"""The C that reads what others wrote, fuzzed by libFuzzer under the address, leak and undefined-behaviour sanitizers.

The seeds hold what reaches the code and every input that found something. A short run is the same each time, as long as
the code is: the seeds and RUNS changes of them. PYSENTRY_FUZZ_SECONDS=N: others each time, for so long; inputs that
reach more are kept in /var/tmp/pysentry-guests/fuzz-corpus, and the next such run goes on from them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.native_targets import ALL, COMPILER, PACKAGES, Target, build, write_seeds
from tests.harness.guest_programs import BINARIES
from tests.harness.patience import PATIENCE_S
from tests.harness.programs import install, need

SECONDS = int(float(os.environ.get("PYSENTRY_FUZZ_SECONDS", "0")))
RUNS = 3000
SHORT_S = 10
"""A slow machine gets less far."""
OPTIONS = ["-max_len=600", "-len_control=0", "-timeout=60", "-print_final_stats=1"]

pytestmark = pytest.mark.timeout(900 + 2 * SECONDS)


def compiler() -> None:
    """Skips the test without one."""
    need(COMPILER, COMPILER)
    if reason := install(*PACKAGES):
        pytest.skip(reason)


def same_addresses() -> list[str]:
    """The prefix of a command that gives a program the same addresses each time; nothing where that is not allowed."""
    prefix = ["setarch", "x86_64", "-R"]
    done = subprocess.run([*prefix, "true"], capture_output=True)
    return prefix if done.returncode == 0 else []


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name)
def test_target(target: Target, tmp_path: Path) -> None:
    compiler()
    program = build(target)
    reached, seeds, place = (tmp_path / name for name in ("reached", "seeds", "place"))
    for directory in (reached, seeds, place):
        directory.mkdir()
    if SECONDS:
        reached = BINARIES / "fuzz-corpus" / target.name
        reached.mkdir(parents=True, exist_ok=True)
    count = len(write_seeds(target, seeds))
    limits = [f"-max_total_time={SECONDS or SHORT_S}"]
    if not SECONDS:
        limits += ["-seed=1", f"-runs={count + RUNS}"]
    command = [*same_addresses(), program, *OPTIONS, *limits, f"-artifact_prefix={tmp_path}/", reached, seeds]
    environment = {**os.environ, "TMPDIR": str(place)}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS + PATIENCE_S, env=environment
    )
    inputs = "".join(f"{path.name}: {path.read_bytes().hex()}\n" for path in tmp_path.glob("*-*"))
    assert done.returncode == 0, f"{done.stderr[-8000:]}\n{inputs}"
    assert f"seed corpus: files: {count} " in done.stderr or SECONDS, done.stderr[-2000:]
