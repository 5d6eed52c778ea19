"""`pysentry install`: what is written for each engine, twice the same, and which files are left alone."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from pysentry.oci.install import ENGINES, InstallError, apply, plan

COMMAND = "/opt/pysentry/bin/pysentry"
CONTAINERD = "/etc/containerd/config.toml"
DOCKER = "/etc/docker/daemon.json"
CRI = "io.containerd.grpc.v1.cri"
WRITTEN_BY_HAND = f"""# kept
version = 2
root = "/data" # kept, too

[plugins."{CRI}"]
  sandbox_image = "pause"
  [plugins."{CRI}".containerd]
    default_runtime_name = "runc"
    [plugins."{CRI}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."{CRI}".containerd.runtimes.runc.options]
        SystemdCgroup = true"""


def installed(engine: str, command: str = COMMAND, name: str = "pysentry") -> str:
    apply(plan(engine, name, command))
    return Path(ENGINES[engine].path).read_text()


def complaint(engine: str) -> str:
    """The file must be as it was, too."""
    path = Path(ENGINES[engine].path)
    before = path.read_bytes()
    with pytest.raises(InstallError) as caught:
        plan(engine, "pysentry", COMMAND)
    assert path.read_bytes() == before
    assert ENGINES[engine].path in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_time_nothing_is_to_do(fs: FakeFilesystem, engine: str) -> None:
    first = plan(engine, "pysentry", COMMAND)
    assert first.is_needed
    assert "+++ " + ENGINES[engine].path in first.difference()
    assert not os.path.exists(ENGINES[engine].path)
    apply(first)
    second = plan(engine, "pysentry", COMMAND)
    assert not second.is_needed
    assert second.difference() == ""
    assert os.listdir(os.path.dirname(ENGINES[engine].path)) == [os.path.basename(ENGINES[engine].path)]


@pytest.mark.parametrize("engine", ENGINES)
def test_another_command_takes_the_place_of_the_first(fs: FakeFilesystem, engine: str) -> None:
    installed(engine, "/old/pysentry")
    text = installed(engine)
    assert COMMAND in text
    assert "/old/" not in text


def test_podman(fs: FakeFilesystem) -> None:
    document = tomllib.loads(installed("podman"))["engine"]
    assert document["runtimes"] == {"pysentry": [COMMAND]}
    assert {"runc", "crun", "pysentry"} <= set(document["runtime_supports_json"])


def test_crio(fs: FakeFilesystem) -> None:
    runtime = tomllib.loads(installed("crio"))["crio"]["runtime"]["runtimes"]["pysentry"]
    assert (runtime["runtime_path"], runtime["runtime_type"]) == (COMMAND, "oci")


@pytest.mark.parametrize("engine", ["podman", "crio"])
@pytest.mark.parametrize("text", ["[engine]\n", "not toml at all"])
def test_a_file_of_somebody_else_is_left_alone(fs: FakeFilesystem, engine: str, text: str) -> None:
    fs.create_file(ENGINES[engine].path, contents=text)
    assert "somebody else" in complaint(engine)


def runtimes(text: str, plugin: str = CRI) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["plugins"][plugin]["containerd"]["runtimes"]
    return found


def test_containerd_keeps_what_is_there(fs: FakeFilesystem) -> None:
    fs.create_file(CONTAINERD, contents=WRITTEN_BY_HAND, st_mode=0o100600)
    text = installed("containerd")
    assert text.startswith(WRITTEN_BY_HAND + "\n")
    assert set(runtimes(text)) == {"runc", "pysentry"}
    assert runtimes(text)["pysentry"]["options"] == {"BinaryName": COMMAND, "SystemdCgroup": True}
    assert os.stat(CONTAINERD).st_mode & 0o777 == 0o600


def test_containerd_lines_after_ours_are_kept(fs: FakeFilesystem) -> None:
    installed("containerd", "/old/pysentry")
    with open(CONTAINERD, "a") as file:
        file.write("[debug]\nlevel = 'info'\n")
    text = installed("containerd")
    assert tomllib.loads(text)["debug"] == {"level": "info"}
    assert runtimes(text)["pysentry"]["options"]["BinaryName"] == COMMAND


def test_containerd_version_3(fs: FakeFilesystem) -> None:
    fs.create_file(CONTAINERD, contents="version = 3\n")
    assert "pysentry" in runtimes(installed("containerd"), "io.containerd.cri.v1.runtime")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version = 2\n[plugins", "no TOML"),
        ("oom_score = 0\n", "version 1"),
        ("version = 1\n", "version 1"),
        ("version = 9\n", "version 9"),
        (f'version = 2\n[plugins]\n"{CRI}" = {{ containerd = {{}} }}\n', "inline"),
        (f'version = 2\n[plugins."{CRI}".containerd.runtimes.pysentry]\nruntime_type = "x"\n', "somebody else"),
    ],
)
def test_containerd_files_that_are_left_alone(fs: FakeFilesystem, text: str, why: str) -> None:
    fs.create_file(CONTAINERD, contents=text)
    assert why in complaint("containerd")


def test_containerd_written_by_hand_as_we_would(fs: FakeFilesystem) -> None:
    table = f'plugins."{CRI}".containerd.runtimes.pysentry'
    fs.create_file(
        CONTAINERD,
        contents=f'version = 2\n[{table}]\nruntime_type = "io.containerd.runc.v2"\n'
        f'[{table}.options]\nBinaryName = "{COMMAND}"\n',
    )
    assert not plan("containerd", "pysentry", COMMAND).is_needed


def test_containerd_end_of_our_block_is_missing(fs: FakeFilesystem) -> None:
    text = installed("containerd")
    Path(CONTAINERD).write_text(text.replace("# pysentry: end.\n", ""))
    assert "is missing" in complaint("containerd")


def test_docker_keeps_what_is_there(fs: FakeFilesystem) -> None:
    fs.create_file(DOCKER, contents='{"log-driver": "local", "runtimes": {"kata": {"path": "/k"}}}')
    document = json.loads(installed("docker"))
    assert list(document) == ["log-driver", "runtimes"]
    assert document["runtimes"] == {"kata": {"path": "/k"}, "pysentry": {"path": COMMAND}}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"runtimes": []}', '{"runtimes": {"pysentry": {"runtimeType": "io.containerd.kata.v2"}}}']
)
def test_docker_files_that_are_left_alone(fs: FakeFilesystem, text: str) -> None:
    fs.create_file(DOCKER, contents=text)
    complaint("docker")


def test_a_link_stays_a_link(fs: FakeFilesystem) -> None:
    fs.create_file("/real/daemon.json", contents="{}\n")
    fs.create_symlink(DOCKER, "/real/daemon.json")
    apply(plan("docker", "pysentry", COMMAND))
    assert os.path.islink(DOCKER)
    assert "pysentry" in Path("/real/daemon.json").read_text()


def test_another_place_and_name(fs: FakeFilesystem) -> None:
    apply(plan("docker", "box", COMMAND, "/elsewhere.json"))
    assert json.loads(Path("/elsewhere.json").read_text()) == {"runtimes": {"box": {"path": COMMAND}}}


def test_a_file_that_is_not_text(fs: FakeFilesystem) -> None:
    fs.create_file(DOCKER, contents=b"\xff\xfe")
    assert "cannot be read" in complaint("docker")


def test_a_place_that_cannot_be_written(fs: FakeFilesystem) -> None:
    fs.create_file("/etc/docker", contents="")
    with pytest.raises(InstallError):
        apply(plan("docker", "pysentry", COMMAND))
