"""Bundles and documents that cannot be used: `create` says which field, in runc's words where engines know them, leaves
nothing behind, and the id is free afterwards.

Each document is given to runc too (--oci-runtimes=runc): where it refuses as well, part of what it says is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.bundles import Config, config, write_bundle
from tests.harness.raw_runtime import WAITS, RawRuntime

ACCEPTS = None
"""runc takes the document: we are stricter, or it goes wrong later."""
Case = tuple[str, Callable[[Config], object], str, str | None]


def setting(path: str, value: Any) -> Callable[[Config], object]:
    """Puts a value somewhere: "process.user.uid"."""

    def change(document: Config) -> None:
        inner: Any = document
        *names, last = path.split(".")
        for name in names:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else inner[int(name)]
        inner[last] = value

    return change


def mount(**fields: Any) -> Callable[[Config], object]:
    return lambda document: document["mounts"].append({"destination": "/x"} | fields)


CASES: list[Case] = [
    # (name, change, what we say, part of what runc says)
    (
        "args of a wrong type",
        setting("process.args", ["sh", 5]),
        "process.args[1]: expected a string, got 5",
        "cannot unmarshal",
    ),
    ("args missing", setting("process.args", []), "process.args: args must not be empty", "args must not be empty"),
    (
        "cwd missing",
        setting("process.cwd", ""),
        "process.cwd: Cwd property must not be empty",
        "Cwd property must not be empty",
    ),
    (
        "cwd relative",
        setting("process.cwd", "tmp"),
        "process.cwd: Cwd must be an absolute path",
        "Cwd must be an absolute path",
    ),
    (
        "no process",
        setting("process", None),
        "process: process property must not be empty",
        "process property must not be empty",
    ),
    ("process is a string", setting("process", "sh"), 'process: expected an object, got "sh"', "cannot unmarshal"),
    ("no root", setting("root", None), "root: root must be specified", "root must be specified"),
    (
        "rootfs missing",
        setting("root.path", "/no/such"),
        "invalid rootfs: stat /no/such: no such file or directory",
        "invalid rootfs",
    ),
    (
        "uid negative",
        setting("process.user.uid", -1),
        "process.user.uid: -1 is not between 0 and 4294967295",
        "cannot unmarshal",
    ),
    ("version", setting("ociVersion", "2.0.0"), "ociVersion: '2.0.0' is not supported: expected 1.x", ACCEPTS),
    (
        "NUL in an argument",
        setting("process.args", ["a\0b"]),
        "process.args[0]: contains a NUL byte",
        "",
    ),
    (
        "limit of a wrong name",
        setting("process.rlimits", [{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]),
        "process.rlimits[0].type: wrong rlimit value: RLIMIT_FOO",
        "wrong rlimit value: RLIMIT_FOO",
    ),
    (
        "limit negative",
        setting("process.rlimits", [{"type": "RLIMIT_CPU", "soft": -1, "hard": 1}]),
        "process.rlimits[0].soft: -1 is not between 0 and 18446744073709551615",
        "cannot unmarshal",
    ),
    (
        "memory limit of a wrong type",
        setting("linux.resources", {"memory": {"limit": "64m"}}),
        'linux.resources.memory.limit: expected an integer, got "64m"',
        "cannot unmarshal",
    ),
    (
        "namespace of a wrong type",
        setting("linux.namespaces", [{"type": "nut"}]),
        'linux.namespaces[0].type: unknown value "nut"',
        "does not exist",
    ),
    (
        "namespace twice",
        setting("linux.namespaces", [{"type": "pid"}, {"type": "pid"}]),
        'linux.namespaces[1]: malformed spec file: duplicated ns "pid"',
        "malformed spec file: duplicated ns",
    ),
    (
        "network namespace missing",
        lambda document: setting("path", "/no/netns")(document["linux"]["namespaces"][4]),
        "linux.namespaces[4].path: open /no/netns: no such file or directory",
        "no such file or directory",
    ),
    (
        "time offsets",
        setting("linux.timeOffsets", {"monotonic": {"secs": 5}}),
        "linux.timeOffsets: time offsets are not supported",
        ACCEPTS,
    ),
    (
        "sysctl of the host",
        setting("linux.sysctl", {"vm.swappiness": "1"}),
        'linux.sysctl["vm.swappiness"]: sysctl "vm.swappiness" is not in a separate kernel namespace',
        "is not in a separate kernel namespace",
    ),
    (
        "seccomp action",
        setting("linux.seccomp", {"defaultAction": "SCMP_ACT_SHRUG"}),
        'linux.seccomp.defaultAction: unknown value "SCMP_ACT_SHRUG"',
        "is not a valid action",
    ),
    (
        "seccomp asks somebody",
        setting("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTIFY"}),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported",
        "SCMP_ACT_NOTIFY cannot be used as default action",
    ),
    (
        "hook without a path",
        setting("hooks", {"prestart": [{"args": ["x"]}]}),
        "hooks.prestart[0].path: required, but missing",
        "",
    ),
    ("mount without a destination", mount(destination=None), "mounts[3].destination: required, but missing", ""),
    (
        "mount of a wrong type",
        mount(type="no", source="x"),
        "mounts[3].type: cannot mount a file system of type 'no'",
        "no such device",
    ),
    (
        "mount with a wrong option",
        mount(type="tmpfs", options=["frob"]),
        "mounts[3].options[0]: mount option 'frob'",
        "invalid argument",
    ),
    (
        "mount of a missing source",
        mount(type="bind", source="/no/such", options=["bind"]),
        'error mounting "/no/such" to rootfs at "/x": stat /no/such: no such file or directory',
        "no such file or directory",
    ),
]


def refused(raw: RawRuntime, bundle: Path) -> str:
    """What `create` says; nothing is left, and the id can be used."""
    identity = raw.identity()
    words = [f"--log={raw.log}", "--log-format=json", "create", "--bundle", str(bundle), identity]
    status, text = raw.leave(*words, status=None)
    assert status == 1, (status, text)
    assert raw.call("state", identity, status=None).returncode != 0
    if raw.is_ours:
        assert len(text.splitlines()) == 1, text
        assert json.loads(raw.log.read_text())["msg"] in text
        assert not (raw.root / identity).exists()
    raw.leave("create", "--bundle", str(raw.bundle(*WAITS)), identity)
    return text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace(" ", "-"))
def test_a_wrong_field_is_named(raw: RawRuntime, case: Case) -> None:
    _, change, ours, runcs = case
    if not raw.is_ours and (runcs is ACCEPTS or raw.name != "runc"):
        pytest.skip(f"{raw.name} takes it, or has words of its own")
    document = config("true", cgroup="/pysentry-test-bad")
    change(document)
    if document["root"] == {"path": "rootfs", "readonly": False}:
        document["root"]["path"] = str(raw.rootfs)
    text = refused(raw, write_bundle(raw.directory / "bad", raw.rootfs, json.dumps(document)))
    assert (ours if raw.is_ours else runcs or "") in text


def test_documents_that_are_none(raw: RawRuntime) -> None:
    whole = json.dumps(config("true")).encode()
    texts = {
        "truncated": (whole[: len(whole) // 2], "config.json is not valid JSON: "),
        "empty": (b"", "config.json is not valid JSON: unexpected end of JSON input"),
        "deep": (b'{"a":' * 100_000, "config.json is not valid JSON: nested too deeply"),
        "large": (b'{"annotations": {' + b'"k": "v", ' * 1_000_000 + b'"k": ""}}', "config.json is larger than"),
        "a list": (b"[]", "config.json: expected an object, got an array"),
        "bytes": (os.urandom(4096), "config.json is not "),
        "twice": (whole[:-1] + b', "root": {"path": "/"}}', "root: expected an object, got the same key twice"),
    }
    for name, (data, ours) in texts.items():
        if not raw.is_ours and name == "twice":
            continue  # Go's decoder takes the last one
        text = refused(raw, write_bundle(raw.directory / name, raw.rootfs, data))
        raw.log.unlink()
        assert not raw.is_ours or ours in text, text


def test_bundles_that_are_none(raw: RawRuntime, tmp_path: Path) -> None:
    assert "no such file or directory" in refused(raw, tmp_path / "nowhere")
    raw.log.unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    if raw.name != "crun":
        assert "JSON specification file config.json not found" in refused(raw, empty)
    raw.log.unlink()
    linked = write_bundle(tmp_path / "linked", raw.rootfs, config("true") | {"root": {"path": "link"}})
    (linked / "link").symlink_to(raw.rootfs)
    if raw.name != "crun":
        assert "invalid rootfs: not an absolute path, or a symlink" in refused(raw, linked)


def test_capabilities_that_nobody_knows(raw: RawRuntime) -> None:
    """A warning, not an error, as runtime-spec wants it."""
    names = ["CAP_KILL", "CAP_FUTURE"]

    def change(document: Config) -> None:
        document["process"]["capabilities"] |= dict.fromkeys(("bounding", "effective", "permitted"), names)

    container = raw.start("sh", "-c", "grep CapEff /proc/self/status; exec sleep 1000", change=change)
    container.wait_output("CapEff:\t0000000000000020")


def test_a_destination_cannot_lead_out(raw: RawRuntime) -> None:
    """Neither by "..", nor by a symlink of the image."""
    secret = raw.directory / "secret"
    secret.mkdir()
    rootfs = raw.directory / "evil"
    (rootfs / "bin").mkdir(parents=True)
    for name in ("busybox", "sh", "ls", "sleep"):
        (rootfs / "bin" / name).hardlink_to(raw.rootfs / "bin/busybox")
    for name in ("proc", "dev"):
        (rootfs / name).mkdir()
    (rootfs / "out").symlink_to(secret)
    document = config("sh", "-c", f"ls -d /up {secret}/in; exec sleep 1000", cgroup="/pysentry-test-out")
    document["root"]["path"] = str(rootfs)
    document["mounts"] += [
        {"destination": "/../../up", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/out/in", "type": "tmpfs", "source": "tmpfs"},
    ]
    identity = raw.identity()
    output = raw.directory / "out-output"
    bundle = write_bundle(raw.directory / "out-bundle", rootfs, document)
    raw.leave("create", "--bundle", str(bundle), identity, output=output)
    raw.call("start", identity)
    assert os.listdir(secret) == []
    raw.call("exec", identity, "ls", "-d", "/up", f"{secret}/in")
    assert not (raw.directory.parent / "up").exists()


@pytest.mark.parametrize(
    ("document", "ours"),
    [
        (b"", "process.json is not valid JSON: unexpected end of JSON input"),
        (b'{"cwd": "/", "args": ["true", 5]}', "args[1]: expected a string, got 5"),
        (b'{"cwd": "/", "args": []}', "args: args must not be empty"),
        (b'{"cwd": "x", "args": ["true"]}', "cwd: Cwd must be an absolute path"),
        (b'{"cwd": "/", "args": ["true"], "env": ["x"]}', "env[0]: invalid environment variable: 'x'"),
    ],
)
def test_a_process_document_that_is_none(raw: RawRuntime, document: bytes, ours: str) -> None:
    container = raw.start(*WAITS)
    path = raw.directory / "process.json"
    path.write_bytes(document)
    done = raw.call("exec", "--process", str(path), container.identity, status=None)
    assert done.returncode != 0
    assert not raw.is_ours or ours in done.stderr, done.stderr
    assert container.status == "running"
