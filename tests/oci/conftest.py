"""Fixtures of the engine tests: each on a machine of its own (tests/harness/engine_host.py), with one OCI runtime.

pytest --oci-runtimes=runc tests/oci      the proof that the tests hold with runc; pysentry is the default
pytest --oci-platform=ptrace tests/oci    raw containers on the other engine; a marker takes some tests through both
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import checkout
from tests.harness.bundles import make_rootfs
from tests.harness.containerd import PACKAGES as CONTAINERD_PACKAGES
from tests.harness.containerd import Containerd
from tests.harness.cri import Cri
from tests.harness.crio import PACKAGES as CRIO_PACKAGES
from tests.harness.crio import Crio
from tests.harness.docker import PACKAGES as DOCKER_PACKAGES
from tests.harness.docker import DaemonFailedError, Docker
from tests.harness.engine_host import EngineHost
from tests.harness.patience import wait_until
from tests.harness.podman import PACKAGES as PODMAN_PACKAGES
from tests.harness.podman import Podman
from tests.harness.programs import install, need
from tests.harness.raw_runtime import RawRuntime
from tests.harness.runner import session_directory
from tests.harness.suites import install_path


@dataclass(frozen=True)
class Runtime:
    """An OCI runtime under test."""

    name: str
    path: Path

    @property
    def is_ours(self) -> bool:
        return self.name == "pysentry"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "oci_runtime" in metafunc.fixturenames:
        names = str(metafunc.config.getoption("--oci-runtimes")).split(",")
        metafunc.parametrize("oci_runtime", names, indirect=True, scope="session")
    if "oci_platform" in metafunc.fixturenames:
        wanted = str(metafunc.config.getoption("--oci-platform"))
        if wanted or metafunc.definition.get_closest_marker("both_platforms"):
            metafunc.parametrize("oci_platform", [wanted] if wanted else ["seccomp", "ptrace"])


@pytest.fixture(scope="session")
def oci_runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param == "pysentry":
        return Runtime("pysentry", checkout.command())
    return Runtime(request.param, need(request.param, request.param))


@pytest.fixture(scope="session")
def machine(oci_runtime: Runtime) -> Iterator[EngineHost]:
    """Namespaces for the engines of one runtime; everything in them ends with the session."""
    if os.geteuid() != 0:
        pytest.skip("needs root: engines run in namespaces of their own")
    host = EngineHost(Path(tempfile.mkdtemp(prefix="engines-", dir=session_directory())))
    try:
        if oci_runtime.name == "crun":  # refuses a machine that has both versions of cgroups
            host.run(["umount", "/sys/fs/cgroup/unified"], status=None)
        yield host
    finally:
        host.close()


@pytest.fixture(scope="session")
def podman_engine(machine: EngineHost, oci_runtime: Runtime) -> Podman:
    reason = install(*PODMAN_PACKAGES)
    if reason is not None:
        pytest.skip(f"needs podman: {reason}")
    return Podman(machine, oci_runtime.name, oci_runtime.path)


@pytest.fixture
def podman(podman_engine: Podman) -> Iterator[Podman]:
    """Podman; what the test made is removed after it, and nothing may be left then."""
    yield podman_engine
    podman_engine.clean()


@pytest.fixture(scope="session")
def containerd_engine(machine: EngineHost, oci_runtime: Runtime) -> Iterator[Containerd]:
    reason = install(*CONTAINERD_PACKAGES)
    if reason is not None:
        pytest.skip(f"needs containerd: {reason}")
    engine = Containerd(machine, oci_runtime.name, oci_runtime.path)
    yield engine
    engine.close()


@pytest.fixture
def containerd(containerd_engine: Containerd) -> Iterator[Containerd]:
    """containerd and `ctr`; what the test made is removed after it, and nothing may be left then."""
    yield containerd_engine
    containerd_engine.clean()


@pytest.fixture(scope="session")
def docker_engine(machine: EngineHost, oci_runtime: Runtime) -> Iterator[Docker]:
    reason = install(*DOCKER_PACKAGES)
    if reason is not None:
        pytest.skip(f"needs docker.io: {reason}")
    try:
        engine = Docker(machine, oci_runtime.name, oci_runtime.path)
    except DaemonFailedError as failure:
        pytest.skip(f"dockerd does not run on this machine: {failure}")
    yield engine
    engine.close()


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """dockerd and `docker`; what the test made is removed after it, and nothing may be left then."""
    yield docker_engine
    docker_engine.clean()


@pytest.fixture(scope="session")
def crio_engine(machine: EngineHost, oci_runtime: Runtime) -> Iterator[Crio]:
    """PYSENTRY_CRIO=DIR holds `crio` and `pinns`; without it they are looked for in PATH."""
    found = shutil.which("crio", path=install_path("PYSENTRY_CRIO"))
    if found is None:
        pytest.skip("PYSENTRY_CRIO=DIR (crio and pinns) is not set, there is no crio, and Debian has no package of it")
    reason = install(*CRIO_PACKAGES)
    if reason is not None:
        pytest.skip(f"needs what CRI-O runs: {reason}")
    engine = Crio(machine, Path(found), oci_runtime.name, oci_runtime.path)
    yield engine
    engine.close()


@pytest.fixture(scope="session", params=["containerd", "crio"])
def cri_engine(request: pytest.FixtureRequest, oci_runtime: Runtime) -> Containerd | Crio:
    """An engine with a CRI for `oci_runtime`, which pytest must see here: the one below it finds too late."""
    engine: Containerd | Crio = request.getfixturevalue(f"{request.param}_engine")
    return engine


@pytest.fixture(scope="session")
def cri_client(cri_engine: Containerd | Crio) -> Iterator[Cri]:
    client = Cri(cri_engine.host, cri_engine.socket, cri_engine.name)
    wait_until(client.is_ready, "the engine and its network are ready")
    yield client
    client.close()


@pytest.fixture
def cri(cri_client: Cri, cri_engine: Containerd | Crio) -> Iterator[Cri]:
    """An engine's CRI; every pod is removed after the test, and nothing may be left then."""
    yield cri_client
    cri_client.clean()
    cri_engine.assert_clean()


@pytest.fixture(scope="session")
def small_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rootfs(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def oci_platform() -> str:
    """What `--platform` says; "": nothing."""
    return ""


@pytest.fixture
def raw(oci_runtime: Runtime, oci_platform: str, small_rootfs: Path, tmp_path: Path) -> Iterator[RawRuntime]:
    """The runtime by its command line, without an engine."""
    runtime = RawRuntime(oci_runtime.name, oci_runtime.path, tmp_path, small_rootfs)
    if oci_platform and runtime.is_ours:
        runtime.options.append(f"--platform={oci_platform}")
    try:
        yield runtime
    finally:
        runtime.close()
