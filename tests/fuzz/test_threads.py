"""Descriptor numbers that change owners between threads all the time: nobody gets another's file, or none."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.harness.runner import Runner, session_directory

SOURCE = Path(__file__).with_name("threads.c")


@cache
def program() -> Path:
    target = session_directory() / "fuzz-threads"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-pthread", "-Wall", "-Wextra", "-o", partial, SOURCE], check=True)
        partial.replace(target)
    return target


@pytest.mark.configs("native", "seccomp", "seccomp-slow", "ptrace", "user")
@pytest.mark.parametrize("place", ["memory", "bind"])
def test_lent_descriptors_are_not_mixed_up(runner: Runner, place: str) -> None:
    options = ["--tmpfs=/mnt"] if place == "memory" else [f"--bind={runner.work}:/mnt:rw"]
    directory = str(runner.work) if runner.is_native else "/mnt"
    result = runner.run([program(), directory], options=options)
    assert (result.status, result.stdout) == (0, ""), result
