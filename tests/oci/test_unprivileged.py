"""A user without privileges: containers below $XDG_RUNTIME_DIR, without a cgroup, from create to delete."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import checkout
from tests.harness.raw_runtime import ENDS_ON_TERM, RawRuntime
from tests.harness.runner import session_directory
from tests.oci.conftest import Runtime


@pytest.fixture
def mine(oci_runtime: Runtime, small_rootfs: Path) -> Iterator[RawRuntime]:
    if not oci_runtime.is_ours:
        pytest.skip("runc needs a range of ids")
    directory = session_directory() / f"unprivileged-{os.getpid()}"
    shutil.copytree(small_rootfs, directory / "rootfs", symlinks=True)
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, checkout.UNPRIVILEGED_ID, checkout.UNPRIVILEGED_ID, follow_symlinks=False)
    path = checkout.command_for_unprivileged(session_directory())
    environment = {"HOME": "/", "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    as_user = {**checkout.as_unprivileged(), "env": environment, "cwd": "/"}
    runtime = RawRuntime(oci_runtime.name, path, directory, directory / "rootfs", as_user)
    try:
        yield runtime
    finally:
        runtime.close()
        shutil.rmtree(directory)


def test_from_create_to_delete(mine: RawRuntime) -> None:
    container = mine.start(*ENDS_ON_TERM)
    container.wait_output("up")
    assert os.stat(f"/proc/{container.pid}").st_uid != 0
    assert mine.call(
        "exec", container.identity, "sh", "-c", "id -u; echo x > /tmp/file; cat /tmp/file"
    ).stdout.split() == [
        "0",
        "x",
    ]
    container.call("pause")
    assert container.status == "paused"
    container.call("resume")
    assert container.status == "running"
    pids = json.loads(container.call("ps", "--format=json").stdout)
    assert pids
    assert "no cgroup" in container.call("update", "--memory=10m", status=1).stderr
    os.kill(container.pid, signal.SIGTERM)
    assert container.wait() == ("exited", 7)
    container.call("delete")


def test_default_root(mine: RawRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.as_user["env"]["XDG_RUNTIME_DIR"] = str(mine.directory)
    monkeypatch.setattr(mine, "words", lambda *words: [str(mine.path), *words])
    container = mine.create("true")
    kept = mine.directory / "pysentry" / container.identity
    assert (kept / "state.json").exists()
    assert kept.stat().st_mode & 0o777 == 0o700
    container.end()


def test_rootless_false_wants_a_cgroup(mine: RawRuntime) -> None:
    """As runc's flag: what is not permitted is an error then, and nothing is left."""
    bundle = mine.bundle("true")
    status, told = mine.leave("--rootless=false", "create", "--bundle", str(bundle), mine.identity(), status=1)
    assert status == 1
    assert "cannot make cgroup" in told
    assert os.listdir(mine.root) == []
    mine.leave("--rootless=true", "run", "--bundle", str(bundle), mine.identity())
