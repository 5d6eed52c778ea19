"""What `pysentry install` writes is what the engines read: the same files, read by podman and containerd themselves."""

from __future__ import annotations

import json

import pytest

from tests.harness.containerd import Containerd
from tests.harness.engine_images import BUSYBOX
from tests.harness.podman import Podman
from tests.oci.conftest import Runtime


def test_podman_knows_us_by_name(podman: Podman, oci_runtime: Runtime) -> None:
    if not oci_runtime.is_ours:
        pytest.skip("`install` is pysentry's")
    podman.host.run([oci_runtime.path, "install", "--engine=podman"])
    # Without the configuration that the other tests name: /etc/containers of this machine.
    script = 'exec podman --cgroup-manager=cgroupfs --events-backend=file run --rm --network=none "$@"'
    ulimits = ("--ulimit=nofile=1024:2048", "--ulimit=nproc=100:100")
    words = ["sh", "-c", script, "-", "--runtime=pysentry", f"--cgroup-parent={podman.host.cgroup}", *ulimits]
    assert podman.host.run([*words, BUSYBOX, "echo", "by name"]).stdout == "by name\n"
    again = podman.host.run([oci_runtime.path, "install", "--engine=podman"])
    assert again.stdout == "/etc/containers/containers.conf.d/50-pysentry.conf: nothing to do\n"


def test_containerd_reads_what_is_written(containerd: Containerd, oci_runtime: Runtime) -> None:
    if not oci_runtime.is_ours:
        pytest.skip("`install` is pysentry's")
    path = containerd.host.directory / "installed.toml"
    path.write_text(containerd.configuration.read_text())
    done = containerd.host.run([oci_runtime.path, "install", "--engine=containerd", f"--config={path}", "--name=box"])
    assert "+BinaryName = " in done.stdout
    shown = containerd.host.run(["containerd", "--config", path, "config", "dump"]).stdout
    _, _, ours = shown.partition("containerd.runtimes.box]")
    assert f'BinaryName = "{oci_runtime.path}"' in ours
    before = path.read_text()
    containerd.host.run([oci_runtime.path, "install", "--engine=containerd", f"--config={path}", "--name=box"])
    assert path.read_text() == before


def test_dry_run_writes_nothing(podman: Podman, oci_runtime: Runtime) -> None:
    if not oci_runtime.is_ours:
        pytest.skip("`install` is pysentry's")
    path = podman.host.directory / "daemon.json"
    words = [oci_runtime.path, "install", "--engine=docker", f"--config={path}"]
    shown = podman.host.run([*words, "--dry-run"]).stdout
    assert '+        "pysentry": {' in shown
    assert not path.exists()
    podman.host.run(words)
    assert json.loads(path.read_text())["runtimes"]["pysentry"]["path"] == str(oci_runtime.path)
