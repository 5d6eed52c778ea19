"""OCI bundles for any test: the host's system directories read-only, the run's own directory writable.

See runtime-spec config.md and config-linux.md. Everything is root of a user namespace with all ids mapped to
themselves, so that the same bundle is as powerful, and as harmless, under runtimes on the host's kernel.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_DIRECTORIES = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/opt")
IDS = (1 << 32) - 1
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP"
)


@dataclass(frozen=True)
class Shown:
    """What a container gets of the host: a directory to write to, paths to read, and how much memory at most."""

    place: Path
    is_read: Sequence[str]
    has_user_namespace: bool
    memory_bytes: int | None = None


def write(bundle: Path, argv: Sequence[str], environment: Mapping[str, str], user: int, shown: Shown) -> None:
    """Makes the bundle in an existing empty directory."""
    rootfs = bundle / "rootfs"
    rootfs.mkdir()
    mounts = [*_system(rootfs), *_bind([path for path in shown.is_read if not _is_system(path)], "ro"), *_own()]
    mounts += _bind([str(shown.place)], "rw")
    for name in ("proc", "dev", "sys", "tmp", "run", "var/tmp", "root"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    config = _config(argv, environment, user, shown) | {"mounts": mounts}
    (bundle / "config.json").write_text(json.dumps(config, indent=1))


def _is_system(path: str) -> bool:
    return any(path == top or path.startswith(top + "/") for top in SYSTEM_DIRECTORIES)


def _system(rootfs: Path) -> list[dict[str, Any]]:
    """Binds for directories; the links of a merged /usr stay links."""
    for name in SYSTEM_DIRECTORIES:
        if os.path.islink(name):
            (rootfs / name[1:]).symlink_to(os.readlink(name))
    return _bind([name for name in SYSTEM_DIRECTORIES if os.path.isdir(name) and not os.path.islink(name)], "ro")


def _bind(paths: Sequence[str], mode: str) -> list[dict[str, Any]]:
    return [{"destination": path, "type": "bind", "source": path, "options": ["rbind", mode]} for path in paths]


def _own() -> list[dict[str, Any]]:
    def row(destination: str, kind: str, *options: str) -> dict[str, Any]:
        return {"destination": destination, "type": kind, "source": kind, "options": list(options)}

    return [
        row("/proc", "proc"),
        row("/dev", "tmpfs", "strictatime", "mode=755", "size=65536k"),
        row("/dev/pts", "devpts", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        row("/dev/shm", "tmpfs", "nodev", "mode=1777"),
        row("/dev/mqueue", "mqueue", "nodev"),
        row("/sys", "sysfs", "nodev", "ro"),
        row("/tmp", "tmpfs", "nodev", "mode=1777"),
    ]


def _config(argv: Sequence[str], environment: Mapping[str, str], user: int, shown: Shown) -> dict[str, Any]:
    held = [f"CAP_{name}" for name in CAPABILITIES.split()] if user == 0 else []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user, "gid": user},
            "args": list(argv),
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": str(shown.place),
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), held),
            "noNewPrivileges": False,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "compat",
        "linux": _linux(shown),
    }


def _linux(shown: Shown) -> dict[str, Any]:
    namespaces = ["pid", "mount", "ipc", "uts", "network", *(["user"] if shown.has_user_namespace else [])]
    linux: dict[str, Any] = {"namespaces": [{"type": kind} for kind in namespaces]}
    if shown.has_user_namespace:
        mapping = [{"containerID": 0, "hostID": 0, "size": IDS}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    if shown.memory_bytes is not None:
        linux["resources"] = {"memory": {"limit": shown.memory_bytes, "swap": shown.memory_bytes}}
    return linux
