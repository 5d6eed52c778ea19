"""Bundles for tests: a small root file system of busybox-static and a config.json that runc, crun and pysentry take."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.programs import need

Config = dict[str, Any]


def make_rootfs(directory: Path) -> Path:
    """busybox with links for its applets, /etc with two users, and the directories that mounts need."""
    busybox = need("busybox", "busybox-static")
    rootfs = directory / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "home/user"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, rootfs / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in applets:
        if name != "busybox" and not (rootfs / "bin" / name).exists():
            (rootfs / "bin" / name).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n")
    (rootfs / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    return rootfs


def config(*args: str, cgroup: str = "") -> Config:
    """What engines write, less what only they need. cgroup: linux.cgroupsPath."""
    kinds = ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE", "SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE"]
    capabilities = [f"CAP_{kind}" for kind in kinds]

    def mount(destination: str, kind: str, *options: str) -> Config:
        return {"destination": destination, "type": kind, "source": kind, "options": list(options)}

    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            mount("/proc", "proc"),
            mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }


def write_bundle(directory: Path, rootfs: Path, document: Config | str | bytes) -> Path:
    """A bundle whose root is another directory: root.path is made absolute."""
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(document, dict):
        if document.get("root", {}).get("path") == "rootfs":
            document["root"]["path"] = str(rootfs)
        document = json.dumps(document)
    data = document.encode() if isinstance(document, str) else document
    (directory / "config.json").write_bytes(data)
    return directory
