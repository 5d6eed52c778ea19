"""Fields of config.json that a program sees in its /proc, or by what it may do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.bundles import Config
from tests.harness.raw_runtime import RawRuntime
from tests.oci.test_mounts import shell, with_mounts


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_oom_score_is_the_programs_and_its_childrens(raw: RawRuntime) -> None:
    def change(document: Config) -> None:
        document["process"]["oomScoreAdj"] = 321

    read = "cat /proc/self/oom_score_adj"
    script = f"{read}; ({read}); echo 400 > /proc/self/oom_score_adj; {read}; sleep 1000"
    container = raw.start("sh", "-c", script, change=change)
    container.wait_output("400")
    assert container.output.read_text().split() == ["321", "321", "400"]
    raw.call("exec", container.identity, "sh", "-c", f"test $({read}) = 321")
    if raw.is_ours:  # on the host, too: that is whom its OOM killer takes
        scores = {Path(f"/proc/{pid}/oom_score_adj").read_text().strip() for pid in children(container.pid)}
        assert "321" in scores


def test_all_cpus_wherever_its_caller_is_bound(raw: RawRuntime) -> None:
    if raw.name == "runc":
        pytest.skip("runc 1.1 does not reset it")
    read = ("sh", "-c", "grep Cpus_allowed_list /proc/self/status; exec sleep 1000")
    unbound = Path("/proc/1/status").read_text()
    container = raw.create(*read, preexec_fn=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]))
    container.call("start")
    container.wait_output("Cpus_allowed_list")
    assert container.output.read_text().strip() in unbound


def test_no_other_cgroup_is_joined(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("others join it")
    container = raw.start("sleep", "1000")
    told = raw.call("exec", "--cgroup", "below", container.identity, "true", status=None)
    assert told.returncode != 0
    assert "the container's own cgroup only" in told.stderr
    raw.call("exec", "--cgroup", "/", container.identity, "true")


def test_id_maps_are_shown(raw: RawRuntime) -> None:
    def change(document: Config) -> None:
        document["linux"]["namespaces"].append({"type": "user"})
        for kind, first in (("uid", 0), ("gid", 0)):
            document["linux"][f"{kind}Mappings"] = [
                {"containerID": 0, "hostID": first, "size": 1000},
                {"containerID": 5000, "hostID": 5000, "size": 10},
            ]

    lines = shell(raw, "cat /proc/self/uid_map /proc/self/gid_map", change)
    assert [line.split() for line in lines] == [["0", "0", "1000"], ["5000", "5000", "10"]] * 2


@pytest.mark.parametrize(
    ("propagation", "fails"), [("unbindable", ["/"]), ("runbindable", ["/", "/data"]), ("private", [])]
)
def test_unbindable_roots(raw: RawRuntime, tmp_path: Path, propagation: str, fails: list[str]) -> None:
    if raw.name == "runc":
        pytest.skip("runc 1.1 refuses a root that cannot be bound")
    data = {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": ["rbind"]}
    change = with_mounts(data, rootfsPropagation=propagation)

    def with_rights(document: Config) -> None:
        change(document)
        for kept in document["process"]["capabilities"].values():
            kept.append("CAP_SYS_ADMIN")

    script = "mkdir -p /tmp/at; for one in / /data; do mount -o bind $one /tmp/at 2>/dev/null || echo $one; done"
    assert shell(raw, script, with_rights) == fails


@pytest.mark.parametrize(
    ("of_root", "of_mount", "seen"),
    [
        ("shared", "rprivate", ["/tmp/root/tmp/on"]),
        ("rshared", "rprivate", ["/tmp/root/tmp/on", "/tmp/data/on"]),
        ("private", "rshared", ["/tmp/data/on"]),
        ("slave", "rslave", []),
    ],
)
def test_mounts_are_seen_by_peers(
    raw: RawRuntime, tmp_path: Path, of_root: str, of_mount: str, seen: list[str]
) -> None:
    """What is mounted in the root, or in a volume, and where it is seen: in a bind of that."""
    if raw.name == "runc" and of_root.endswith("shared"):
        pytest.skip("runc 1.1 forgets the root's propagation when it enters it")
    data = {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": ["rbind", of_mount]}
    change = with_mounts(data, rootfsPropagation=of_root)

    def with_rights(document: Config) -> None:
        change(document)
        for kept in document["process"]["capabilities"].values():
            kept.append("CAP_SYS_ADMIN")

    script = """
        mkdir -p /tmp/root /tmp/data /tmp/on /data/on
        mount -o bind / /tmp/root; mount -o bind /data /tmp/data
        for one in /tmp/on /data/on; do mount -t tmpfs none $one; touch $one/file; done
        for one in /tmp/root/tmp/on /tmp/data/on; do test ! -e $one/file || echo $one; done
    """
    assert shell(raw, script, with_rights) == seen
