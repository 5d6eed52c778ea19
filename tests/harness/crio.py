"""CRI-O on a machine of its own (engine_host.py), with one OCI runtime under conmon. Debian 12 has no package of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.harness.engine_host import EngineHost, end
from tests.harness.engine_images import PAUSE_IMAGE, archive
from tests.harness.patience import wait_until
from tests.harness.pod_network import write_pod_network

PACKAGES = ("podman", "conmon", "containernetworking-plugins", "iptables")
"""Podman loads the images, into CRI-O's storage: there is no registry."""
STORAGE = ("--root=/var/lib/containers/crio", "--runroot=/run/containers/crio", "--storage-driver=overlay")
CONFIGURATION = """
[crio]
root = "/var/lib/containers/crio"
runroot = "/run/containers/crio"
storage_driver = "overlay"
version_file = "/run/crio/version"
clean_shutdown_file = "/run/crio/clean.shutdown"
[crio.api]
listen = "{socket}"
stream_address = "127.0.0.1"
stream_port = "0"
[crio.image]
pause_image = "{pause}"
pause_command = "/pause"
[crio.network]
network_dir = "{network}"
plugin_dirs = ["/usr/lib/cni"]
[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
default_runtime = "{name}"
[crio.runtime.runtimes.{name}]
runtime_path = "{path}"
runtime_type = "oci"
runtime_root = "/run/{name}"
"""


class Crio:
    """The daemon `program`; its pods run by the runtime at `path`, which it knows as `name`."""

    socket = "/run/crio/crio.sock"
    in_use = "/var/lib/containers/crio/overlay"

    def __init__(self, host: EngineHost, program: Path, name: str, path: Path) -> None:
        self.host, self.program, self.name = host, program, name
        self.configuration = host.directory / "crio.conf"
        self.configuration.write_text(
            CONFIGURATION.format(
                socket=self.socket,
                pause=PAUSE_IMAGE,
                network=write_pod_network(host.directory),
                name=name,
                path=path,
            )
        )
        self.load(archive())
        self.log = open(host.directory / "crio.log", "ab")
        self.daemon = self._start()
        self.mounts = host.mounts()
        host.base |= host.processes()

    def load(self, images: Path) -> None:
        """Adds the images of a docker archive. The daemon sees them at once."""
        self.host.run(["podman", *STORAGE, "load", "-q", "-i", images])

    def _start(self) -> subprocess.Popen[bytes]:
        self.host.root(self.socket).unlink(missing_ok=True)  # a killed daemon leaves it
        daemon = self.host.start(
            [self.program, "--config", self.configuration, "--config-dir", ""],
            {"PATH": f"{self.program.parent}:{os.environ['PATH']}"},  # pinns is beside it
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )
        wait_until(lambda: daemon.poll() is not None or self.host.root(self.socket).exists(), "CRI-O listens", 60)
        assert daemon.poll() is None, self.tail()
        return daemon

    def restart(self) -> None:
        """Kills the daemon, as a crash would, and starts it again; conmons and containers stay."""
        before = self.host.processes()
        end(self.daemon)
        self.host.base -= before - self.host.processes()
        before = self.host.processes()
        self.daemon = self._start()
        self.host.base |= self.host.processes() - before

    def tail(self) -> str:
        return (self.host.directory / "crio.log").read_text()[-2500:]

    def close(self) -> None:
        end(self.daemon)
        self.log.close()

    def assert_clean(self) -> None:
        self.host.assert_nothing_left(self.mounts | {self.in_use}, self.host.container_cgroups, self.tail)
