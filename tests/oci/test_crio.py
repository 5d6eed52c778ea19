"""CRI-O, where it is: pods under conmon, driven by its CRI. Debian 12 has no package of it.

PYSENTRY_CRIO=DIR holds `crio` and `pinns`; without it they are looked for in PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cri import Cri
from tests.harness.engine_host import EngineHost, end
from tests.harness.engine_images import BUSYBOX, PAUSE_IMAGE, archive
from tests.harness.patience import wait_until
from tests.harness.programs import install
from tests.harness.suites import install_path
from tests.oci.conftest import Runtime

SOCKET = "/run/crio/crio.sock"
CONFIGURATION = """
[crio]
root = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
[crio.api]
listen = "{socket}"
stream_address = "127.0.0.1"
stream_port = "0"
[crio.image]
pause_image = "{pause}"
pause_command = "/pause"
[crio.network]
network_dir = "{directory}/crio-cni"
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


@pytest.fixture(scope="module")
def crio_client(machine: EngineHost, oci_runtime: Runtime) -> Iterator[Cri]:
    given = install_path("PYSENTRY_CRIO")
    found = shutil.which("crio", path=given)
    if found is None:
        pytest.skip("PYSENTRY_CRIO=DIR (crio and pinns) is not set, there is no crio, and Debian has no package of it")
    reason = install("podman", "conmon", "containernetworking-plugins")
    if reason is not None:
        pytest.skip(f"needs podman, to load images: {reason}")
    configuration = machine.directory / "crio.conf"
    configuration.write_text(
        CONFIGURATION.format(
            socket=SOCKET, pause=PAUSE_IMAGE, directory=machine.directory, name=oci_runtime.name, path=oci_runtime.path
        )
    )
    machine.run(["podman", "load", "-q", "-i", archive()])
    with open(machine.directory / "crio.log", "ab") as log:
        daemon = machine.start(
            [found, "--config", configuration, "--config-dir", ""],
            {"PATH": f"{Path(found).parent}:{os.environ['PATH']}"},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    client = Cri(machine, SOCKET, oci_runtime.name)
    try:
        wait_until(lambda: daemon.poll() is not None or machine.root(SOCKET).exists(), "crio listens")
        assert daemon.poll() is None, (machine.directory / "crio.log").read_text()[-2000:]
        yield client
    finally:
        client.close()
        end(daemon)


@pytest.fixture
def crio(crio_client: Cri) -> Iterator[Cri]:
    """CRI-O's CRI; every pod is removed after the test."""
    yield crio_client
    crio_client.clean()


def test_a_pod_of_two(crio: Cri) -> None:
    pod = crio.pod(on_host_network=True)
    first = pod.run("sh", "-c", "echo up; exec sleep 1000", name="first", image=BUSYBOX)
    second = pod.run("sh", "-c", "echo out; exit 7", name="second", image=BUSYBOX)
    assert second.wait() == 7
    assert first.exec("sh", "-c", "echo inside; exit 3") == (3, "inside\n", "")
    first.stop()
    assert first.status.exit_code == 137
