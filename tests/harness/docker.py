"""dockerd on a machine of its own (engine_host.py), with one OCI runtime that `pysentry install` registered."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness import checkout
from tests.harness.engine_host import EngineHost, end
from tests.harness.engine_images import BUSYBOX, root_filesystem
from tests.harness.patience import wait_until
from tests.harness.runner import Result

PACKAGES = ("docker.io", "containerd", "iptables")
SOCKET = "/run/docker.sock"
# The machine has neither a firewall nor a network to bridge to; layers are copied, as overlay cannot lie on overlay.
DAEMON = (
    *("dockerd", f"--host=unix://{SOCKET}", "--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs"),
    *("--iptables=false", "--ip6tables=false", "--bridge=none", "--shutdown-timeout=1"),
)


class DaemonFailedError(Exception):
    """dockerd does not run on this machine; what it said."""


class Docker:
    """The daemon, and `docker` to it. Every container runs with the runtime `name`."""

    def __init__(self, host: EngineHost, name: str, path: Path) -> None:
        self.host, self.name, self.path = host, name, path
        # runc is known to every daemon, and its name is reserved: what proves the tests is called otherwise.
        self.runtime = name if name == "pysentry" else f"tested-{name}"
        install = ("install", "--engine=docker", f"--name={self.runtime}", f"--command={path}")
        host.run(["mkdir", "-p", "/etc/docker"])
        host.run([checkout.command(), *install])
        self.names = (f"d{number}" for number in itertools.count())
        self.log = open(host.directory / "dockerd.log", "ab")
        self.daemon = host.start([*DAEMON, f"--cgroup-parent={host.cgroup}"], stdout=self.log, stderr=self.log)
        wait_until(
            lambda: self.daemon.poll() is not None or self("version", status=None).status == 0, "dockerd answers"
        )
        if self.daemon.poll() is not None:
            raise DaemonFailedError((host.directory / "dockerd.log").read_text()[-1000:])
        archive = host.directory / "root.tar"
        host.run(["tar", "-C", root_filesystem(), "-cf", archive, "."])
        self("import", "-c", "CMD sh", "-c", "ENV PATH=/bin FROM_IMAGE=yes", archive, BUSYBOX)
        self.mounts = host.mounts()
        host.base |= host.processes()

    def argv(self, *words: str | Path) -> list[str]:
        argv = [str(word) for word in words]
        if argv[0] in ("run", "create"):
            argv.insert(1, f"--runtime={self.runtime}")
        return ["docker", f"--host=unix://{SOCKET}", *argv]

    def __call__(self, *words: str | Path, status: int | None = 0, **arguments: Any) -> Result:
        return self.host.run(self.argv(*words), status=status, **arguments)

    def start(self, *words: str | Path, **arguments: Any) -> subprocess.Popen[bytes]:
        return self.host.start(self.argv(*words), **arguments)

    def run(self, *words: str | Path, **arguments: Any) -> Result:
        """`docker run --rm --network=none WORDS`."""
        return self("run", "--rm", "--network=none", *words, **arguments)

    def background(self, *words: str | Path, options: Sequence[str] = ()) -> str:
        """Starts a container that stays, by default one that sleeps; returns its name."""
        name = next(self.names)
        self("run", "-d", f"--name={name}", "--network=none", *options, BUSYBOX, *(words or ("sleep", "1000")))
        return name

    def inspected(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("inspect", name).stdout)[0]
        return found

    def state(self, name: str) -> str:
        return str(self.inspected(name)["State"]["Status"])

    def close(self) -> None:
        end(self.daemon)
        self.log.close()

    def clean(self) -> None:
        """Removes every container; asserts that nothing of them is left."""
        names = self("ps", "-aq").stdout.split()
        if names:
            self("rm", "-f", *names)
        self.host.assert_nothing_left(self.mounts, self.host.container_cgroups)
