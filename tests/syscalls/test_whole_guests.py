"""Each guest as a whole, one run: linked statically, and on each kind of file system for those that use files."""

import pytest

from tests.harness.configuration import WHOLE_GUESTS
from tests.harness.guest_programs import families, run_all
from tests.harness.runner import Runner

FILE_FAMILIES = (
    "attr", "dir", "exec", "exec_errors", "fcntl", "file_ranges", "getdents", "io", "ioctl", "locks", "memory", "open",
    "open_errors", "open_flags", "openat2", "path_errors", "path_permissions", "splice", "stat", "stat_flags",
    "vectors", "xattr",
)  # fmt: skip


@pytest.mark.configs(*WHOLE_GUESTS)
@pytest.mark.parametrize("family", families())
def test_dynamic(runner: Runner, family: str) -> None:
    run_all(runner, family, "dynamic")


@pytest.mark.configs("native", "seccomp", "ptrace")
@pytest.mark.parametrize("family", families())
def test_static(runner: Runner, family: str) -> None:
    run_all(runner, family, "static")


@pytest.mark.configs("native", "seccomp", "seccomp-slow", "user")
@pytest.mark.parametrize("family", FILE_FAMILIES)
def test_in_the_overlay(runner: Runner, family: str) -> None:
    run_all(runner, family, "dynamic", env={"GUEST_TMP": str(runner.work)})


@pytest.mark.configs("seccomp", "seccomp-slow", "user")
@pytest.mark.parametrize("family", FILE_FAMILIES)
def test_in_a_writable_bind(runner: Runner, family: str) -> None:
    bind = f"--bind={runner.work}:/mnt:rw"
    run_all(runner, family, "dynamic", options=[bind], env={"GUEST_TMP": "/mnt"})
    assert list(runner.work.iterdir()) == [], "the guests clean up"


@pytest.mark.configs("seccomp", "seccomp-slow", "user")
@pytest.mark.parametrize("family", FILE_FAMILIES)
def test_in_a_tmpfs(runner: Runner, family: str) -> None:
    run_all(runner, family, "dynamic", options=["--tmpfs=/mnt"], env={"GUEST_TMP": "/mnt"})
