"""Podman on a machine of its own (engine_host.py), with one OCI runtime."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness.engine_host import EngineHost
from tests.harness.engine_images import BUSYBOX, PAUSE_IMAGE, archive
from tests.harness.patience import wait_until
from tests.harness.runner import Result

PACKAGES = ("podman", "conmon", "catatonit", "containernetworking-plugins", "iptables")
CONFIGURATION = """
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:2048", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{name}"
runtime_supports_json = ["runc", "crun", "pysentry"]
runtime_supports_nocgroups = ["crun", "pysentry"]
runtime_supports_nocgroup = ["crun", "pysentry"]
infra_image = "{pause}"
infra_command = "/pause"
[engine.runtimes]
{name} = ["{path}"]
[network]
network_backend = "cni"
"""
STORAGE = "/var/lib/containers/storage/overlay"  # podman mounts it on itself now and then
# Where a cgroup parent can be named. Other commands work on what these made.
TAKE_A_PARENT = (("run",), ("create",), ("pod", "create"))


class Podman:
    """The podman command with the runtime at `path`, which it knows as `name`."""

    def __init__(self, host: EngineHost, name: str, path: Path) -> None:
        self.host, self.name = host, name
        self.configuration = host.directory / "containers.conf"
        self.configuration.write_text(CONFIGURATION.format(name=name, path=path, pause=PAUSE_IMAGE))
        self.names = (f"c{number}" for number in itertools.count())
        self("load", "-q", "-i", archive())
        self("run", "--rm", "--network=none", BUSYBOX, "true")  # makes what is made once, before `mounts` is noted
        self.mounts = host.mounts()

    def argv(self, *words: str | Path) -> list[str]:
        argv = [str(word) for word in words]
        for command in TAKE_A_PARENT:
            if tuple(argv[: len(command)]) == command and "--cgroups=disabled" not in argv:
                argv[len(command) : len(command)] = [f"--cgroup-parent={self.host.cgroup}"]
        return ["podman", "--events-backend=file", *argv]

    @property
    def environment(self) -> dict[str, str]:
        return {"CONTAINERS_CONF": str(self.configuration)}

    def __call__(self, *words: str | Path, status: int | None = 0, **arguments: Any) -> Result:
        return self.host.run(self.argv(*words), status=status, env=self.environment, **arguments)

    def start(self, *words: str | Path, **arguments: Any) -> subprocess.Popen[bytes]:
        return self.host.start(self.argv(*words), env=self.environment, **arguments)

    def run(self, *words: str | Path, network: str = "none", **arguments: Any) -> Result:
        """`podman run --rm --network=none WORDS`."""
        return self("run", "--rm", f"--network={network}", *words, **arguments)

    def background(self, *words: str | Path, options: Sequence[str] = (), network: str = "none") -> str:
        """Starts a container that stays, by default one that sleeps; returns its name."""
        name = next(self.names)
        self("run", "-d", f"--name={name}", f"--network={network}", *options, BUSYBOX, *(words or ("sleep", "1000")))
        return name

    def inspect(self, name: str, field: str) -> str:
        """A field of `podman inspect` by its template, e.g. .State.Status."""
        return self("inspect", "--format", f"{{{{{field}}}}}", name).stdout.strip()

    def inspected(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("inspect", name).stdout)[0]
        return found

    def wait_for(self, name: str, field: str, value: str) -> None:
        wait_until(lambda: self.inspect(name, field) == value, f"{field} of {name} is {value}")

    def clean(self) -> None:
        """Removes every container and pod; asserts that nothing of them is left."""
        self("pod", "rm", "-fa", "-t", "0")
        self("rm", "-fa", "-t", "0")
        host = self.host
        # What pods leave of cgroups is podman's.
        host.assert_nothing_left(self.mounts | {STORAGE}, lambda: host.container_cgroups("libpod-*"))
