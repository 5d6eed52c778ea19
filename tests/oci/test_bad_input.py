"""Bundles, ids, sockets and disks that are wrong: an error in one line, and nothing is left of the container."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.bundles import Config, config, write_bundle
from tests.harness.raw_runtime import WAITS, RawRuntime, process


def refused(raw: RawRuntime, bundle: Path, *options: str) -> str:
    """The error of `create`. There is no such container afterwards, and a good one may have the id."""
    identity = raw.identity()
    status, told = raw.leave("create", "--bundle", str(bundle), *options, identity, status=None)
    assert status not in (0, -11, -6, 2)
    assert "Traceback" not in told
    assert told.strip()
    assert raw.call("state", identity, status=None).returncode != 0
    if raw.is_ours:
        assert told.count("\n") == 1
        assert not raw.root.exists() or os.listdir(raw.root) == []
    return told


def text_of(document: Config) -> str:
    return json.dumps(document)


DOCUMENTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "config.json"),
    "truncated": (text_of(config("true"))[:200], "config.json"),
    "no object": ("[]", "config.json"),
    "no text": (b"\xff\xfe", "config.json"),
    "10 MB": ('{"x": "' + "y" * 10_000_000 + '"}', "larger"),
    "nested": ("[" * 100_000, "config.json"),
    "no version": ("{}", "ociVersion"),
    "wrong version": ('{"ociVersion": "2.0.0"}', "ociVersion"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(raw: RawRuntime, name: str) -> None:
    document, word = DOCUMENTS[name]
    told = refused(raw, write_bundle(raw.directory / "bad", raw.rootfs, document))
    assert not raw.is_ours or word in told


def test_no_document(raw: RawRuntime) -> None:
    empty = raw.directory / "empty"
    empty.mkdir()
    told = refused(raw, empty)
    assert raw.name == "crun" or "JSON specification file config.json not found" in told


def test_no_bundle(raw: RawRuntime) -> None:
    assert "no such file" in refused(raw, raw.directory / "nowhere").lower()


def root_of(path: str) -> Callable[[Config], None]:
    def change(document: Config) -> None:
        document["root"]["path"] = path

    return change


def mount_of(**fields: Any) -> Callable[[Config], None]:
    def change(document: Config) -> None:
        document["mounts"].append(fields)

    return change


def resources_of(**sections: Any) -> Callable[[Config], None]:
    def change(document: Config) -> None:
        document["linux"]["resources"] = sections

    return change


def capability(name: str) -> Callable[[Config], None]:
    def change(document: Config) -> None:
        document["process"]["capabilities"]["bounding"] = [name]

    return change


BAD: dict[str, tuple[Callable[[Config], None], str]] = {
    "args are a number": (process("args", 5), "process.args"),
    "args are missing": (process("args", []), "args must not be empty"),
    "cwd is missing": (process("cwd", ""), "Cwd"),
    "cwd is relative": (process("cwd", "tmp"), "Cwd"),
    "terminal is a word": (process("terminal", "yes"), "process.terminal"),
    "rlimit is negative": (process("rlimits", [{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 5}]), "rlimits[0].soft"),
    "rlimit is unknown": (process("rlimits", [{"type": "RLIMIT_NOPE", "soft": 1, "hard": 5}]), "RLIMIT_NOPE"),
    "rootfs is missing": (root_of("nowhere"), "no such file"),
    "rootfs is a file": (root_of("/etc/passwd"), "not a directory"),
    "mount of nothing": (
        mount_of(destination="/mnt", type="bind", source="/no/such", options=["bind"]),
        "no such file",
    ),
    "mount without a target": (mount_of(type="tmpfs", source="tmpfs"), "destination"),
    "memory is a word": (resources_of(memory={"limit": "much"}), "memory.limit"),
    "memory is negative": (resources_of(memory={"limit": -5}), "memory.limit"),
    "swap is negative": (resources_of(memory={"limit": 1 << 27, "swap": -5}), "memory.swap"),
    "shares are negative": (resources_of(cpu={"shares": -5}), "cpu.shares"),
    "period is negative": (resources_of(cpu={"quota": 5000, "period": -5}), "cpu.period"),
    "gid is negative": (process("user", {"uid": 0, "gid": -1}), "process.user.gid"),
    "OOM score is below all": (process("oomScoreAdj", -2000), "process.oomScoreAdj"),
}
OTHERS_TAKE = {"rootfs is a file", "mount without a target", "rlimit is negative", "cwd is missing", "cwd is relative"}


@pytest.mark.parametrize("name", BAD)
def test_values(raw: RawRuntime, name: str) -> None:
    if not raw.is_ours and (name in OTHERS_TAKE or raw.name == "crun"):
        pytest.skip("others take it, or see it later")
    change, word = BAD[name]
    told = refused(raw, raw.bundle("true", change=change))
    assert not raw.is_ours or word.lower() in told.lower(), told


@pytest.mark.parametrize("identity", ["", "../x", "a/b", "..", "a b", "x" * 1025])
def test_bad_ids(raw: RawRuntime, identity: str) -> None:
    """Before anything is looked at or made; also where the path that they lead to exists."""
    bundle = raw.bundle("true")
    for words in (("create", "--bundle", str(bundle)), ("state",), ("kill",), ("delete",), ("delete", "--force")):
        status, told = raw.leave(*words, identity, status=None)
        assert status != 0
        if raw.is_ours:
            assert ("invalid container ID format" if identity else "container id cannot be empty") in told
    assert not (raw.root.parent / "x").exists()
    assert not raw.root.exists() or os.listdir(raw.root) == []


def test_an_id_that_no_directory_can_have(raw: RawRuntime) -> None:
    """runc's rule allows 1,024 characters, file systems 255."""
    identity = "x" * 300
    status, told = raw.leave("create", "--bundle", str(raw.bundle("true")), identity, status=None)
    assert status == 1
    assert "too long" in told
    assert raw.call("state", identity, status=None).returncode == 1
    assert raw.call("delete", "--force", identity, status=None).returncode in (0, 1)
    assert not raw.root.exists() or os.listdir(raw.root) == []


def test_a_mount_does_not_leave_the_root(raw: RawRuntime) -> None:
    """`..` and symlinks in a mount's target end at the container's root."""
    (raw.rootfs / "out").unlink(missing_ok=True)
    (raw.rootfs / "out").symlink_to("/../../../../tmp")
    outside = raw.directory / "outside"
    outside.mkdir()
    source = raw.directory / "source"
    source.mkdir()
    (source / "file").write_text("text")

    def change(document: Config) -> None:
        for target in (f"/../../../../../../../..{outside}", "/out/here"):
            row = {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}
            document["mounts"].append(row)

    raw.leave("run", "--bundle", str(raw.bundle("true", change=change)), raw.identity(), status=None)
    assert os.listdir(outside) == []
    assert not Path("/tmp/here").exists()
    assert (source / "file").read_text() == "text"


def test_an_unknown_capability_is_ignored(raw: RawRuntime) -> None:
    """As newer runc does: a warning."""
    container = raw.create("true", change=capability("CAP_NO_SUCH"))
    container.call("start")
    assert container.wait() == ("exited", 0)


def test_console_socket_that_nobody_answers(raw: RawRuntime) -> None:
    """It listens, but never accepts: the master waits in its queue, and we do not wait for anybody."""
    path = raw.directory / "console.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        container = raw.create(*WAITS, change=process("terminal", True), options=["--console-socket", str(path)])
        assert container.status == "created"


def test_console_socket_that_is_a_file(raw: RawRuntime) -> None:
    path = raw.directory / "file"
    path.write_text("")
    told = refused(raw, raw.bundle("true", change=process("terminal", True)), "--console-socket", str(path))
    assert "refused" in told


def test_pid_file_that_cannot_be_written(raw: RawRuntime) -> None:
    assert "no such file" in refused(raw, raw.bundle(*WAITS), "--pid-file", "/no/such/dir/pid").lower()


def test_exec_of_what_is_not_there(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    for words in (["--user", "nobody-here"], ["--cwd", "/no/such/dir"], ["--process", "/no/such/file"]):
        done = raw.call("exec", *words, container.identity, *([] if "--process" in words else ["true"]), status=None)
        assert done.returncode != 0
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr
    file = raw.directory / "process.json"
    for text in ("", "{", "[]", '{"args": []}', '{"args": ["true"]}'):
        file.write_text(text)
        assert raw.call("exec", "--process", str(file), container.identity, status=None).returncode != 0
    assert container.status == "running"


def test_a_full_disk(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("what others leave on a full disk is their affair")
    raw.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=8", "tmpfs", raw.root], check=True)
    try:
        bundle = raw.bundle(*WAITS)
        text = json.loads((bundle / "config.json").read_text())
        text["annotations"] = {"long": "x" * 8000}
        (bundle / "config.json").write_text(json.dumps(text))
        told = refused(raw, bundle)
        assert "No space left on device" in told
    finally:
        subprocess.run(["umount", "-l", raw.root], check=True)


def test_a_disk_that_fills_up(raw: RawRuntime) -> None:
    """What cannot be written down is not done; the container stays what it was, and can be removed without space."""
    if not raw.is_ours:
        pytest.skip("what others leave on a full disk is their affair")
    raw.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", raw.root], check=True)
    try:
        container = raw.create(*WAITS)
        fill(raw.root)
        assert "No space left on device" in container.call("start", status=1).stderr
        assert container.status == "created"
        assert "No space left on device" in refused_id(raw)
        (raw.root / "filler").write_bytes(b"")
        container.call("start")
        assert container.status == "running"
        fill(raw.root)
        container.end()
        assert os.listdir(raw.root) == ["filler"]
    finally:
        subprocess.run(["umount", "-l", raw.root], check=True)


def fill(directory: Path) -> None:
    with (directory / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def refused_id(raw: RawRuntime) -> str:
    identity = raw.identity()
    _, told = raw.leave("create", "--bundle", str(raw.bundle("true")), identity, status=1)
    assert raw.call("state", identity, status=None).returncode == 1
    return told


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stored": 5}', "\0"])
def test_a_state_that_cannot_be_read(raw: RawRuntime, text: str) -> None:
    """Somebody wrote into --root: no verb trips over it, and --force removes it."""
    if not raw.is_ours:
        pytest.skip("our own file")
    (raw.root / "broken").mkdir(parents=True)
    (raw.root / "broken/state.json").write_text(text)
    for verb in ("state", "start", "kill", "delete"):
        done = raw.call(verb, "broken", status=1)
        assert "cannot be read" in done.stderr
    raw.call("list")
    raw.call("delete", "--force", "broken")
    assert os.listdir(raw.root) == []


def test_what_is_no_container(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("our own files")
    raw.root.mkdir()
    (raw.root / "file").write_text("")
    (raw.root / "empty").mkdir()
    (raw.root / "link").symlink_to("/etc")
    for name in ("file", "empty", "link"):
        assert "does not exist" in raw.call("state", name, status=1).stderr
        raw.call("delete", "--force", name)
    assert Path("/etc/passwd").exists()
    assert json.loads(raw.call("list", "--format", "json").stdout) == []
    (raw.root / "file").unlink()
    (raw.root / "link").unlink()
