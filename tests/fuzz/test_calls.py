"""Random system calls with random arguments, of every row, through the whole sentry: it neither dies nor hangs, counts
no internal error, and keeps no descriptor of programs that ended.

A find becomes a guest test. PYSENTRY_FUZZ_SECONDS=N: other programs each time, for so long in each configuration.
PYSENTRY_FUZZ_REPLAY=FILE: the programs that a failure names, again and in their order.
"""

from __future__ import annotations

import os
import random
import select
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.call_programs import Program
from tests.harness.configuration import is_root
from tests.harness.runner import Runner, session_directory

SOURCE = Path(__file__).with_name("calls.c")
EXAMPLES = 100
SECONDS = float(os.environ.get("PYSENTRY_FUZZ_SECONDS", "0"))
REPLAY = os.environ.get("PYSENTRY_FUZZ_REPLAY", "")
PER_SANDBOX = 100
"""Then a new one: what programs left in the tree (mounts, removed directories) makes later ones fail early."""
ANSWER_S = 100.0

pytestmark = [
    pytest.mark.configs("seccomp", "seccomp-slow", "ptrace", "user"),
    pytest.mark.skipif(not is_root(), reason="the sentry's descriptors can be counted by root only"),
    pytest.mark.timeout(600 + 2 * SECONDS),
]


@cache
def program() -> Path:
    """The compiled guest."""
    target = session_directory() / "fuzz-calls"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-o", partial, SOURCE], check=True)
        partial.replace(target)
    return target


class Sandbox:
    """One that executes programs until something is wrong, or its time has come."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.history: list[list[bytes]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        self.history = []
        self.process = self.runner.start(
            [program()], options=["--tmpfs=/tmp", "--cwd=/tmp", "--pids=64"], stdin=subprocess.PIPE
        )
        self.errors = b""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self.run([b""])  # it stands, and has what it keeps
        self.before = self.descriptors()
        return self.process

    def run(self, datas: list[bytes]) -> None:
        """Executes programs at the same time, and waits for their end."""
        process = self.process or self.start()
        self.history.append(datas)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(struct.pack("<I", len(datas)) + b"".join(Program(data).encode() for data in datas))
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_S)
        self._hear()
        assert ready, f"it hangs\n{self.told()}"
        answer = process.stdout.readline()
        self._hear()
        assert b"internal error" not in self.errors, self.told()
        assert answer == b"ended\n", f"it ended: {process.wait(60)}\n{self.told()}"

    def _hear(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        self.errors += self.process.stderr.read() or b""

    def check_descriptors(self) -> None:
        """Of what ended nothing is left. What the host closes later gets the time it takes."""
        deadline = time.monotonic() + 20
        while more := self.descriptors() - self.before:
            assert time.monotonic() < deadline, f"descriptors left: {more}\n{self.told()}"
            time.sleep(0.01)

    def descriptors(self) -> Counter[str]:
        """The sentry's by kind. Files in memory and segments may outlive programs; caches hold files of the host."""
        assert self.process is not None
        found: Counter[str] = Counter()
        for number in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.process.pid}/fd/{number}")
            except FileNotFoundError:
                continue
            if not target.startswith(("/", "mnt:")) or target.startswith(("/dev/pts", "/memfd:file")):
                found[target if target.startswith("anon") else target.partition(":[")[0]] += 1
        return found

    def told(self) -> str:
        """Everything about the last programs, and a file with all since the start of this sandbox."""
        file = Path(f"/var/tmp/pysentry-fuzz-{os.getpid()}.history")
        file.write_text("\n".join(" ".join(data.hex() for data in datas) for datas in self.history))
        last = "\n--\n".join(str(Program(data)) for data in self.history[-1])
        return f"{last}\n{self.errors.decode(errors='replace')[-4000:]}\n(PYSENTRY_FUZZ_REPLAY={file})"

    def end(self) -> None:
        """A regular end, with its report."""
        if self.process is not None:
            process, self.process = self.process, None
            result = self.runner.finish(process, timeout_s=ANSWER_S)
            assert result.status == 0, result

    def abandon(self) -> None:
        """After a failure, without another one."""
        if self.process is not None:
            self.process.kill()
            process, self.process = self.process, None
            self.runner.finish(process, has_report=False)


@pytest.fixture
def sandbox(runner: Runner) -> Iterator[Sandbox]:
    state = Sandbox(runner)
    yield state
    state.abandon()


def attempt(sandbox: Sandbox, datas: list[bytes]) -> None:
    if len(sandbox.history) > PER_SANDBOX:
        sandbox.end()
    try:
        sandbox.run(datas)
        sandbox.check_descriptors()
    except BaseException:
        sandbox.abandon()
        raise


@pytest.mark.skipif(bool(SECONDS or REPLAY), reason="a longer run was asked for")
def test_random_calls(sandbox: Sandbox) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # what is smaller, a replay of its history tells sooner
    )
    @given(st.lists(st.binary(min_size=200, max_size=800), min_size=1, max_size=3))
    def try_them(datas: list[bytes]) -> None:
        attempt(sandbox, datas)

    try_them()
    sandbox.end()


@pytest.mark.skipif(not SECONDS, reason="PYSENTRY_FUZZ_SECONDS asks for it")
def test_random_calls_for_long(sandbox: Sandbox) -> None:
    seed = random.SystemRandom().getrandbits(64)
    chance = random.Random(seed)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        attempt(sandbox, [chance.randbytes(800) for _ in range(chance.choice((1, 1, 1, 2, 3)))])
    sandbox.end()


@pytest.mark.skipif(not REPLAY, reason="PYSENTRY_FUZZ_REPLAY names no file")
def test_programs_of_a_failure(sandbox: Sandbox) -> None:
    for line in Path(REPLAY).read_text().splitlines():
        sandbox.run([bytes.fromhex(word) for word in line.split()])
        sandbox.check_descriptors()
    sandbox.end()
