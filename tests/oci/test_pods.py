"""What containers of one pod share that name each other's namespaces by path, and what they have of their own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.bundles import Config
from tests.harness.configuration import is_root
from tests.harness.raw_runtime import Container, RawRuntime

pytestmark = pytest.mark.skipif(not is_root(), reason="an ordinary user's containers have no network to share")

SHARED_BY_PATH = ("network", "ipc", "uts", "pid")
FILES = {"network": "net"}


def mount(kind: str, destination: str, source: str, *options: str) -> Config:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def member(of: Container | None, shm: Path, **env: str) -> Callable[[Config], None]:
    """A container of the pod, as engines write it: namespaces of its first one, and a directory for /dev/shm."""

    def change(document: Config) -> None:
        document["mounts"].append(mount("mqueue", "/dev/mqueue", "mqueue"))
        document["mounts"].append(mount("bind", "/dev/shm", str(shm), "rbind"))
        for held in document["process"]["capabilities"].values():
            held.append("CAP_SYS_ADMIN")  # to change the host name
        document["process"]["env"] += [f"{name}={value}" for name, value in env.items()]
        if of is not None:
            document.pop("hostname")
            for namespace in document["linux"]["namespaces"]:
                if namespace["type"] in SHARED_BY_PATH:
                    name = FILES.get(namespace["type"], namespace["type"])
                    namespace["path"] = f"/proc/{of.pid}/ns/{name}"

    return change


def test_the_network_and_files_are_shared(raw: RawRuntime, tmp_path: Path) -> None:
    serve = "touch /dev/mqueue/mine; echo there > /dev/shm/file; hostname; while :; do echo served | nc -l -p 80; done"
    first = raw.start("sh", "-c", serve, change=member(None, tmp_path))
    first.wait_output("box")
    look = "until nc 127.0.0.1 80; do sleep 0.02; done; cat /dev/shm/file; hostname; hostname other; hostname"
    second = raw.start("sh", "-c", look, change=member(first, tmp_path, HOSTNAME="of-the-pod"))
    second.wait()
    name = ["of-the-pod"] if raw.is_ours else ["box"]
    assert second.output.read_text().splitlines() == ["served", "there", *name, "other"]
    if raw.is_ours:
        assert first.call("exec", "hostname").stdout == "box\n"


def test_what_listens_in_the_network_is_listed(raw: RawRuntime, tmp_path: Path) -> None:
    """Also on the host's, where the container has that. Who talks to whom is not."""
    serve = "nc -l -p 4097 127.0.0.1 & until grep :1001 /proc/net/tcp; do :; done; wait"
    first = raw.start("sh", "-c", serve, change=member(None, tmp_path))
    first.wait_output(":1001")
    second = raw.start("netstat", "-ltn", change=member(first, tmp_path))
    second.wait()
    assert ":4097 " in second.output.read_text()

    def on_the_host(document: Config) -> None:
        document["linux"]["namespaces"] = [row for row in document["linux"]["namespaces"] if row["type"] != "network"]

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        third = raw.start("netstat", "-atun", change=on_the_host)
        third.wait()
        shown = third.output.read_text()
        assert f":{server.getsockname()[1]} " in shown
        assert (f":{client.getsockname()[1]} " in shown) != raw.is_ours


def test_the_rest_is_not(raw: RawRuntime, tmp_path: Path) -> None:
    if not raw.is_ours:
        pytest.skip("theirs is")
    first = raw.start("sh", "-c", "touch /dev/mqueue/mine; echo up; exec sleep 1000", change=member(None, tmp_path))
    first.wait_output("up")
    second = raw.start("sh", "-c", "ls /dev/mqueue; ps -o args", change=member(first, tmp_path))
    second.wait()
    lines = second.output.read_text()
    assert "mine" not in lines
    assert "sleep" not in lines
    assert "sh -c" in lines
    shared = json.loads(raw.call("features").stdout)["annotations"]
    assert shared["dev.pysentry.shared-namespaces"] == "network,user"
    assert shared["dev.pysentry.not-shared-namespaces"] == "cgroup,ipc,mount,pid,uts"


def test_settings_of_ipc_are_those_of_the_pod(raw: RawRuntime, tmp_path: Path) -> None:
    """An engine gives them to the pod's first container alone."""
    settings = {"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100", "kernel.sem": "300 30000 30 400"}

    def of_pod(document: Config) -> None:
        member(None, tmp_path)(document)
        document["linux"]["sysctl"] = settings

    first = raw.start("sh", "-c", "echo up; exec sleep 1000", change=of_pod)
    first.wait_output("up")
    look = "cd /proc/sys; cat kernel/shm_rmid_forced fs/mqueue/msg_max kernel/sem kernel/msgmax"
    second = raw.start("sh", "-c", f"{look}; exec sleep 1000", change=member(first, tmp_path))
    second.wait_output("8192")
    assert second.output.read_text().split() == ["1", "100", "300", "30000", "30", "400", "8192"]
    third = raw.start("sh", "-c", look, change=member(second, tmp_path))
    third.wait()
    assert third.output.read_text().split() == second.output.read_text().split()


def test_what_is_not_shared_is_told(raw: RawRuntime, tmp_path: Path) -> None:
    if not raw.is_ours:
        pytest.skip("theirs is")
    first = raw.start("sleep", "1000", change=member(None, tmp_path))
    identity = raw.identity()
    bundle = raw.bundle("true", change=member(first, tmp_path))
    _, told = raw.leave("--debug", "create", "--bundle", str(bundle), identity)
    for kind in ("ipc", "pid", "uts"):
        assert f"the {kind} namespace cannot be shared" in told
    assert "the network namespace" not in told
