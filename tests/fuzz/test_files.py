"""Random file calls give on every configuration what they give on Linux's tmpfs: results, errors, content, modes.

One seed is one run of files.c, natively and in the sandbox, over an empty directory in memory and over a small tree of
the host (in the sandbox: below the overlay). PYSENTRY_FUZZ_SEEDS=N tries N seeds instead of a few.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.harness.runner import Runner, session_directory

SOURCE = Path(__file__).with_name("files.c")
CALLS = 1500
SEEDS = range(1, 1 + int(os.environ.get("PYSENTRY_FUZZ_SEEDS", "3")))
MEMORY = Path("/dev/shm")


@cache
def program() -> Path:
    """The compiled program, static: it changes its root."""
    target = session_directory() / "fuzz-files"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-o", partial, SOURCE], check=True)
        partial.replace(target)
    return target


def plant(directory: Path) -> None:
    """A tree with what the program's paths can meet: files, directories, links that go up and sideways."""
    (directory / "b/dir").mkdir(parents=True)
    (directory / "dir/c").mkdir(parents=True)
    (directory / "a").write_text("1234\n")
    (directory / "b/a").write_text("bbb\n")
    (directory / "dir/b").write_bytes(random.Random(1).randbytes(66000))
    (directory / "dir/c/b").write_text("x")
    (directory / "dir/a").symlink_to("../b")
    (directory / "c").symlink_to("dir/c")
    for path in directory.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)


@cache
def on_linux(seed: int, uid: int, is_planted: bool) -> str:
    """What the program prints on the host's own tmpfs."""
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if is_planted:
            plant(directory)
        directory.chmod(0o777)
        done = subprocess.run(
            [program(), str(seed), str(CALLS), str(uid)], cwd=directory, capture_output=True, text=True, check=True
        )
        subprocess.run(["chmod", "-R", "u+rwX", directory], check=False)
        return done.stdout


def is_tmpfs(path: Path) -> bool:
    return any(line.split()[1:3] == [str(path), "tmpfs"] for line in Path("/proc/mounts").read_text().splitlines())


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not is_tmpfs(MEMORY), reason="natively it needs chroot(2) and a tmpfs on /dev/shm"
)


@pytest.mark.configs("seccomp", "seccomp-slow", "ptrace")
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_in_memory(runner: Runner, seed: int, uid: int) -> None:
    options = ["--tmpfs=/mnt", "--cwd=/"]
    script = f"chmod 777 /mnt && cd /mnt && exec {program()} {seed} {CALLS} {uid}"
    result = runner.run(["/bin/sh", "-c", script], options=options)
    assert result.stdout.splitlines() == on_linux(seed, uid, False).splitlines(), result.stderr


@pytest.mark.configs("seccomp", "seccomp-slow", "ptrace")
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_over_a_lower_tree(runner: Runner, seed: int, uid: int) -> None:
    plant(runner.work)
    runner.work.chmod(0o777)
    result = runner.run([program(), str(seed), str(CALLS), str(uid)])
    assert result.stdout.splitlines() == on_linux(seed, uid, True).splitlines(), result.stderr
    shutil.rmtree(runner.work / "b")
