"""The guests that use files, in a container's root in place: what they assert of Linux holds there too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.harness.container import Container, busybox_root
from tests.harness.guest_programs import build
from tests.harness.programs import need
from tests.harness.runner import session_directory

FAMILIES = ("attr", "dir", "io", "locks", "memory", "open", "stat")


@pytest.fixture(scope="module")
def root() -> Path:
    need("busybox", "busybox-static")
    place = session_directory() / f"container-root-{os.getpid()}"  # each xdist worker has one
    busybox_root(place)
    for name in ("guests", "work", "usr/bin"):
        (place / name).mkdir(parents=True)
    (place / "work").chmod(0o777)
    for family in FAMILIES:
        shutil.copy(build(family, "static"), place / "guests" / family)
    return place


@pytest.mark.skipif(os.geteuid() != 0, reason="the guests change owners on the host")
@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("family", FAMILIES)
def test_guests(root: Path, tmp_path: Path, family: str, fast_path: bool) -> None:
    container = Container(root, options={"fast_path": fast_path}, report=tmp_path / "report")
    done = container.shell(f"cd /work && GUEST_TMP=/work exec /guests/{family}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
    assert os.listdir(root / "work") == [], "the guests clean up"
