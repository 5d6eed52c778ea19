"""mounts and linux.devices as rows of the sandbox's mount table."""

from __future__ import annotations

from typing import Any

import pytest

from pysentry.oci.document import Fields
from pysentry.oci.errors import SpecError
from pysentry.oci.features import default_config
from pysentry.oci.spec import Spec
from pysentry.oci.spec_linux import Linux
from pysentry.oci.translate_mounts import translate_devices, translate_mounts, translate_paths
from pysentry.sandbox.config import MountRow
from tests.harness.oci_documents import minimal


def rows(*mounts: dict[str, Any]) -> tuple[list[MountRow], list[str]]:
    warnings: list[str] = []
    return translate_mounts(Spec(Fields(minimal() | {"mounts": list(mounts)})), "/b", warnings), warnings


def row(destination: str, kind: str = "", source: str = "", *options: str) -> MountRow:
    mount = {"destination": destination, "type": kind, "source": source, "options": list(options)}
    return rows(mount)[0][0]


def complaint(destination: str, kind: str = "", source: str = "", *options: str) -> str:
    with pytest.raises(SpecError) as caught:
        row(destination, kind, source, *options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "destination", "expected"),
    [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("tmpfs", "/tmp", "tmpfs"),
        ("tmpfs", "/dev", "dev"),
        ("tmpfs", "/dev//shm/", "shm"),
        ("devpts", "/dev/pts", "devpts"),
        ("mqueue", "/dev/mqueue", "mqueue"),
        ("cgroup", "/sys/fs/cgroup", "cgroup"),
        ("cgroup2", "/sys/fs/cgroup", "cgroup"),
    ],
)
def test_kinds(kind: str, destination: str, expected: str) -> None:
    made = row(destination, kind, kind)
    assert (made.kind, made.source) == (expected, None)


@pytest.mark.parametrize(
    ("kind", "options", "is_recursive"),
    [("bind", [], False), ("rbind", [], True), ("", ["bind"], False), ("no", ["rbind"], True), ("x", ["bind"], False)],
)
def test_binds(kind: str, options: list[str], is_recursive: bool) -> None:
    made = row("/data", kind, "/host/data", *options, "ro", "rslave")
    assert (made.kind, made.source, made.target) == ("bind", "/host/data", "/data")
    assert made.words == {"ro", "rslave"} | ({"rbind"} if is_recursive else set())


def test_sources() -> None:
    assert row("/data", "bind", "data").source == "/b/data"
    assert row("/data", "bind", "../data").source == "/b/../data"
    assert complaint("/data", "bind") == "mounts[0].source: a bind mount needs one"


@pytest.mark.parametrize(
    ("destination", "target"),
    [("/a/../../b", "/b"), ("//a/./b/", "/a/b"), ("/../..//etc", "/etc"), ("/a b", "/a b")],
)
def test_destinations_stay_inside(destination: str, target: str) -> None:
    assert row(destination, "tmpfs").target == target


def test_relative_destinations_are_deprecated() -> None:
    made, warnings = rows({"destination": "tmp", "type": "tmpfs"})
    assert made[0].target == "/tmp"
    assert warnings == ["mounts[0].destination: relative path is deprecated, using it as relative to /"]


def test_what_cannot_be_mounted() -> None:
    assert complaint("/x", "ext4", "/dev/sda1") == (
        "mounts[0].type: cannot mount a file system of type 'ext4': no such device"
    )
    assert complaint("/x") == "mounts[0].type: cannot mount a file system of type '': no such device"
    assert complaint("/", "tmpfs") == "mounts[0].destination: the root itself is root.path"
    assert complaint("/x/..", "tmpfs") == "mounts[0].destination: the root itself is root.path"
    assert complaint("/x", "tmpfs", "", "frob").startswith("mounts[0].options[0]: mount option 'frob' is not supported")
    mapping = [{"containerID": 0, "hostID": 1, "size": 1}]
    with pytest.raises(SpecError, match=r"^mounts\[0\]: id-mapped mounts are not supported$"):
        rows({"destination": "/x", "type": "bind", "source": "/y", "uidMappings": mapping})


def test_order_is_kept() -> None:
    made = translate_mounts(Spec(Fields(default_config())), "/b", [])
    assert [one.target for one in made] == [
        "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup",
    ]  # fmt: skip
    assert made[1].options == {"mode": "755", "size": "65536k"}


def linux(*devices: dict[str, Any]) -> Linux:
    return Linux(Fields({"devices": list(devices)}, "linux"))


def test_devices() -> None:
    made = translate_devices(
        linux(
            {"path": "/dev/x", "type": "u", "major": 4, "minor": 64, "fileMode": 0o20660, "uid": 5, "gid": 6},
            {"path": "dev/../dev/y", "type": "b", "major": 8, "minor": 0},
        )
    )
    assert made == [("/dev/x", "c", 4, 64, 0o660, 5, 6), ("/dev/y", "b", 8, 0, 0o666, 0, 0)]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"path": "/", "type": "c"}, "linux.devices[0].path: '/' is not a path of a device"),
        ({"path": "/dev/x", "type": "c", "major": -1}, "linux.devices[0].major: -1 is not a device number"),
        ({"path": "/dev/x", "type": "b", "minor": 1 << 20}, "linux.devices[0].minor: 1048576 is not a device number"),
    ],
)
def test_devices_that_cannot_be(device: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        translate_devices(linux(device))
    assert str(caught.value) == message


def test_paths() -> None:
    assert translate_paths(("/proc/kcore", "sys//firmware/", "/a/../b"), "x") == ("/proc/kcore", "/sys/firmware", "/b")
    with pytest.raises(SpecError, match=r"^linux\.maskedPaths\[1\]: must not be the root$"):
        translate_paths(("/a", "/.."), "linux.maskedPaths")
