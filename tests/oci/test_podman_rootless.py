"""Podman of an ordinary user: in its user namespace that user is root, and containers have no cgroup of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import checkout
from tests.harness.engine_host import EngineHost
from tests.harness.engine_images import BUSYBOX, archive
from tests.harness.patience import wait_until
from tests.harness.podman import CONFIGURATION, PACKAGES
from tests.harness.programs import install
from tests.harness.runner import Result, session_directory
from tests.oci.conftest import Runtime

ACCOUNTS = {
    "passwd": "tester:x:{id}:{id}::{home}:/bin/sh\n",
    "group": "tester:x:{id}:\n",
    "subuid": "tester:200000:65536\n",
    "subgid": "tester:200000:65536\n",
}


class Rootless:
    """The podman command as that user, on a machine of its own."""

    def __init__(self, host: EngineHost, runtime: Path) -> None:
        self.host = host
        host.directory.chmod(0o755)
        self.home = host.directory / "home"
        self._add_user(host.directory / "etc")
        for directory in (self.home, self.home / "run", self.home / "volume"):
            directory.mkdir(mode=0o700)
            os.chown(directory, checkout.UNPRIVILEGED_ID, checkout.UNPRIVILEGED_ID)
        configuration = host.directory / "containers.conf"
        configuration.write_text(CONFIGURATION.format(name="pysentry", path=runtime, pause="none"))
        self.environment = {
            "HOME": str(self.home),
            "USER": "tester",
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "CONTAINERS_CONF": str(configuration),
        }
        self("load", "-q", "-i", archive())

    def _add_user(self, etc: Path) -> None:
        shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("ssl", "alternatives"))
        for name, line in ACCOUNTS.items():
            with open(etc / name, "a") as accounts:
                accounts.write(line.format(id=checkout.UNPRIVILEGED_ID, home=self.home))
        self.host.run(["mount", "--bind", etc, "/etc"])

    def __call__(self, *words: str | Path, **arguments: Any) -> Result:
        user = [f"--reuid={checkout.UNPRIVILEGED_ID}", f"--regid={checkout.UNPRIVILEGED_ID}", "--clear-groups"]
        command = ["setpriv", *user, "--", "podman", "--storage-driver=vfs", "--events-backend=file", *words]
        return self.host.run(command, env=self.environment, **arguments)

    def run(self, *words: str | Path, **arguments: Any) -> Result:
        return self("run", "--rm", "--network=none", *words, **arguments)


@pytest.fixture(scope="module")
def rootless(oci_runtime: Runtime) -> Iterator[Rootless]:
    if os.geteuid() != 0 or not oci_runtime.is_ours:
        pytest.skip("needs root, to make a machine with one more user, and pysentry")
    reason = install(*PACKAGES, "uidmap")
    if reason is not None:
        pytest.skip(f"needs podman: {reason}")
    path = checkout.command_for_unprivileged(session_directory())
    host = EngineHost(Path(tempfile.mkdtemp(prefix="rootless-", dir=session_directory())))
    try:
        yield Rootless(host, path)
    finally:
        host.close()


def test_root_inside_is_the_user_outside(rootless: Rootless) -> None:
    script = "id -u; echo text > /volume/file; chmod 600 /volume/file; exit 3"
    done = rootless.run(f"--volume={rootless.home}/volume:/volume", BUSYBOX, "sh", "-c", script, status=3)
    assert done.stdout == "0\n"
    made = (rootless.home / "volume/file").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (checkout.UNPRIVILEGED_ID, 0o600)


def test_other_users(rootless: Rootless) -> None:
    assert rootless.run("--user=1000:50", BUSYBOX, "sh", "-c", "id -u; id -g").stdout == "1000\n50\n"
    kept = rootless.run("--userns=keep-id", BUSYBOX, "id", "-u")
    assert kept.stdout == f"{checkout.UNPRIVILEGED_ID}\n"


def test_top(rootless: Rootless) -> None:
    rootless("run", "-d", "--name=shown", "--network=none", BUSYBOX, "sh", "-c", "sleep 1001 & wait")
    wait_until(lambda: "sleep 1001" in rootless("top", "shown").stdout, "podman's own top shows the program")
    rootless("rm", "-f", "-t", "0", "shown")


def test_copy(rootless: Rootless) -> None:
    """While it runs podman joins the pid namespace of the container's pid. It is the host's: only root may do that."""
    given = rootless.home / "volume/given"
    given.write_text("given\n")
    rootless(
        "run", "-d", "--name=copied", "--network=none", BUSYBOX, "sh", "-c", "cat /tmp/in; echo ready; exec sleep 1000"
    )
    wait_until(lambda: "ready" in rootless("logs", "copied").stdout, "it runs")
    assert "operation not permitted" in rootless("cp", given, "copied:/tmp/in", status=125).stderr
    assert rootless("exec", "copied", "ls", "/tmp").stdout == ""
    rootless("stop", "-t", "0", "copied")
    rootless("cp", given, "copied:/tmp/in")
    rootless("start", "copied")
    wait_until(lambda: "given" in rootless("logs", "copied").stdout, "it reads what it was given")
    rootless("rm", "-f", "-t", "0", "copied")


def test_a_life(rootless: Rootless) -> None:
    script = "trap 'echo asked; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    rootless("run", "-d", "--name=life", "--network=none", BUSYBOX, "sh", "-c", script)
    assert rootless("exec", "life", "sh", "-c", "echo in; exit 5", status=5).stdout == "in\n"
    rootless("exec", "life", "sh", "-c", "until test -n \"$(ps | grep 'sleep 0.05')\"; do :; done")  # the trap is set
    rootless("stop", "-t", "30", "life")
    assert rootless("logs", "life").stdout == "up\nasked\n"
    assert rootless("inspect", "--format={{.State.ExitCode}}", "life").stdout == "4\n"
    rootless("rm", "life")
    assert list((rootless.home / "run/pysentry").iterdir()) == []
