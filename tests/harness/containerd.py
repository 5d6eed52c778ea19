"""containerd on a machine of its own (engine_host.py), with one OCI runtime under the stock runc.v2 shim."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.engine_host import EngineHost, end
from tests.harness.engine_images import BUSYBOX, PAUSE_IMAGE, archive
from tests.harness.patience import wait_until
from tests.harness.pod_network import write_pod_network
from tests.harness.runner import Result

PACKAGES = ("containerd", "containernetworking-plugins", "iptables")
CONFIGURATION = """
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{name}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      pod_annotations = ["dev.pysentry.*"]
      container_annotations = ["dev.pysentry.*"]
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
        SystemdCgroup = false
"""


class Containerd:
    """The daemon, and `ctr` to it. `path` is the runtime's; CRI knows it as `name`."""

    socket = "/run/containerd/containerd.sock"

    def __init__(self, host: EngineHost, name: str, path: Path) -> None:
        self.host, self.name, self.path = host, name, path
        directory = host.directory
        self.configuration = directory / "containerd.toml"
        self.configuration.write_text(
            CONFIGURATION.format(name=name, path=path, pause=PAUSE_IMAGE, network=write_pod_network(directory))
        )
        self.names = (f"t{number}" for number in itertools.count())
        self.log = open(directory / "containerd.log", "ab")
        self.daemon = self._start()
        self.load(archive())
        self.mounts = host.mounts()
        host.base |= host.processes()

    def _start(self) -> subprocess.Popen[bytes]:
        daemon = self.host.start(
            ["containerd", "--config", self.configuration], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        wait_until(
            lambda: daemon.poll() is not None or self("version", status=None).status == 0, "containerd answers", 60
        )
        assert daemon.poll() is None, self.tail()
        return daemon

    def load(self, images: Path) -> None:
        """Imports a docker archive, for `ctr` and for CRI."""
        copy = self.host.directory / "images.tar"
        shutil.copyfile(images, copy)
        for namespace in ("default", "k8s.io"):
            self("-n", namespace, "images", "import", copy)

    def restart(self) -> None:
        """Kills the daemon, as a crash would, and starts it again; shims and containers stay."""
        before = self.host.processes()
        end(self.daemon)
        gone = before - self.host.processes()
        self.host.base -= gone
        before = self.host.processes()
        self.daemon = self._start()
        self.host.base |= self.host.processes() - before

    def tail(self) -> str:
        return (self.host.directory / "containerd.log").read_text()[-2500:]

    def argv(self, *words: str | Path) -> list[str]:
        return ["ctr", "-a", self.socket, *map(str, words)]

    def __call__(self, *words: str | Path, status: int | None = 0, **arguments: Any) -> Result:
        return self.host.run(self.argv(*words), status=status, **arguments)

    def start(self, *words: str | Path, **arguments: Any) -> subprocess.Popen[bytes]:
        return self.host.start(self.argv(*words), **arguments)

    def run_words(self, name: str, *options: str) -> list[str | Path]:
        """`ctr run` with our runtime and cgroup, up to the image and the container's name."""
        return [
            *("run", f"--runc-binary={self.path}", "--runtime=io.containerd.runc.v2"),
            *(f"--cgroup={self.host.cgroup}/{name}", *options, BUSYBOX, name),
        ]

    def run(self, *command: str, options: tuple[str, ...] = (), **arguments: Any) -> Result:
        return self(*self.run_words(next(self.names), "--rm", *options), *command, **arguments)

    def background(self, *command: str, options: tuple[str, ...] = ()) -> str:
        name = next(self.names)
        self(*self.run_words(name, "-d", *options), *(command or ("sleep", "1000")))
        return name

    def status(self, name: str) -> str:
        """RUNNING, PAUSED, STOPPED, or "" when there is no such task."""
        for line in self("task", "ls").stdout.splitlines()[1:]:
            if line.split()[0] == name:
                return line.split()[2]
        return ""

    def close(self) -> None:
        end(self.daemon)
        self.log.close()

    def clean(self) -> None:
        """Removes every task and container of `ctr`; asserts that nothing of any container is left."""
        for task in self("task", "ls", "-q").stdout.split():
            self("task", "rm", "-f", task, status=None)
        for container in self("container", "ls", "-q").stdout.split():
            self("container", "rm", container)
        self.assert_clean()

    def assert_clean(self) -> None:
        self.host.assert_nothing_left(self.mounts, self.host.container_cgroups, self.tail)
