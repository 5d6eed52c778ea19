"""bench.compat.runtimes, bundle, namespaces: what is put around a command."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.compat import namespaces
from bench.compat.runtimes import Runtime, RuntimeMissing, find
from tests.unit.bench.compat.cases import OTHER, SENTRY, case


def test_native_is_the_ruler_and_always_there() -> None:
    assert [runtime.name for runtime in find([], [])] == ["native"]


def test_unknown_runtimes_are_refused() -> None:
    with pytest.raises(RuntimeMissing, match="kvm"):
        find(["kvm"], [])
    with pytest.raises(RuntimeMissing, match="is not there"):
        find([], ["/nowhere/runsc"])


def test_an_oci_runtime_has_a_name_and_options() -> None:
    _, plain, named = find([], ["true", "mine=true --platform=x"])
    assert (plain.name, len(plain.command)) == ("true", 1)
    assert (named.name, named.command[1:]) == ("mine", ("--platform=x",))


def test_a_command_goes_behind_pysentry_s_options(tmp_path: Path) -> None:
    prepared = SENTRY.prepare(case("a"), ["/bin/true"], {}, tmp_path)
    assert prepared.argv == ["pysentry", "run", "--", "/bin/true"]


@pytest.mark.parametrize("has_user_namespace", [True, False])
def test_a_bundle_shows_the_system_read_only_and_the_place_writable(tmp_path: Path, has_user_namespace: bool) -> None:
    runtime = Runtime("other", "oci", ("other", "--debug"), has_user_namespace=has_user_namespace)
    prepared = runtime.prepare(case("a"), ["/bin/true"], {"A": "b"}, tmp_path)
    assert prepared.argv[:2] == ["other", "--debug"]
    assert prepared.undo is not None
    assert prepared.undo[-1] == prepared.argv[-1]
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    options = {mount["destination"]: mount["options"] for mount in config["mounts"]}
    assert "ro" in options["/usr"]
    assert "rw" in options[str(tmp_path / "work")]
    assert config["process"]["env"] == ["A=b"]
    assert ("uidMappings" in config["linux"]) == has_user_namespace


def test_an_unprivileged_test_has_no_capabilities(tmp_path: Path) -> None:
    made = case("a")
    unprivileged = type(made)(**{**vars(made), "user": 12345})
    OTHER.prepare(unprivileged, ["/bin/true"], {}, tmp_path)
    process = json.loads((tmp_path / "bundle/config.json").read_text())["process"]
    assert process["user"]["uid"] == 12345
    assert process["capabilities"]["effective"] == []


@pytest.fixture
def place() -> Iterator[Path]:
    """Not below /tmp, of which the namespaces have one of their own."""
    with tempfile.TemporaryDirectory(prefix="compat-", dir="/var/tmp") as directory:
        yield Path(directory)


def in_namespaces(place: Path, script: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-IS", namespaces.__file__, str(place), str(user), str(user), "/bin/sh", "-c", script]
    return subprocess.run(program, cwd=place, capture_output=True, text=True, timeout=60, check=False)


def test_in_namespaces_one_is_root_and_the_host_is_safe(place: Path) -> None:
    done = in_namespaces(
        place,
        "id -u; touch here && ls; touch /var/tmp/there; echo 1 > /proc/sys/vm/swappiness; hostname compat && hostname;"
        "touch /tmp/x /dev/shm/y && ls /tmp; cat /proc/sys/kernel/shmmni > /proc/sys/kernel/shmmni && echo own; exit 7",
    )
    assert done.stdout.split() == ["0", "here", "compat", "x", "own"]
    assert done.stderr.count("Read-only file system") == 2
    assert done.returncode == 7
    assert os.listdir(place) == ["here"]


LIBC_SIGNALS = 3 << 31  # 32 and 33: posix_spawn(3), by which make starts commands, leaves them ignored


def test_a_command_starts_like_after_a_login(place: Path) -> None:
    done = in_namespaces(place, "grep SigIgn /proc/self/status; awk '{ print $5, $6 }' /proc/self/stat")
    _, ignored, *group_and_session = done.stdout.split()
    assert int(ignored, 16) & ~LIBC_SIGNALS == 0
    assert group_and_session == ["2", "2"]


def test_death_by_a_signal_is_told_as_a_shell_does(place: Path) -> None:
    assert in_namespaces(place, "kill -SEGV $$").returncode == 139


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other ids to give")
def test_another_user_can_be_had(place: Path) -> None:
    assert in_namespaces(place, "id -u", 12345).stdout == "12345\n"
