"""What engines do on their machine and must not do to the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.engine_host import EngineHost

CGROUPS = Path("/sys/fs/cgroup")


@pytest.mark.skipif(CGROUPS.joinpath("cgroup.controllers").exists(), reason="in version 2 any directory is a cgroup")
def test_directories_beside_the_hierarchies_stay_there(machine: EngineHost) -> None:
    """Podman makes one for each controller that it knows, mounted or not."""
    hierarchies = {path.name for path in CGROUPS.iterdir() if path.is_mount()}
    assert hierarchies
    machine.run(["mkdir", "-p", "/sys/fs/cgroup/no_controller/libpod_parent"])
    assert {path.name for path in machine.root(CGROUPS).iterdir() if path.is_mount()} == hierarchies
    assert not CGROUPS.joinpath("no_controller").exists()
