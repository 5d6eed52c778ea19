"""What `pysentry features` prints (the features document of runtime-spec 1.2) and the config.json that `pysentry spec`
writes.

Owns both documents as data. Does not print or write (cli/features.py, cli/spec.py).
"""

from __future__ import annotations

import os

from pysentry.oci.mount_options import KNOWN
from pysentry.oci.seccomp import SUPPORTED_ACTIONS
from pysentry.oci.settings import ANNOTATIONS
from pysentry.oci.spec import VERSION, VERSION_MIN
from pysentry.oci.spec_names import CAPABILITIES, HOOKS, SECCOMP_ARCHITECTURES, SECCOMP_FLAGS, SECCOMP_OPERATORS

Document = dict[str, object]

# What another container's namespace path makes us share. "mount" is refused, of the others the container has its own.
SHARED_NAMESPACES = ("network", "user")
NEW_NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "user", "uts")

_DEFAULT_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def features_document(version: str) -> Document:
    """The features document. version: ours."""
    disabled = {"enabled": False}
    return {
        "ociVersionMin": VERSION_MIN,
        "ociVersionMax": VERSION,
        "hooks": list(HOOKS),
        "mountOptions": list(KNOWN),
        "linux": {
            "namespaces": list(NEW_NAMESPACES),
            "capabilities": list(CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": False},
            "seccomp": {
                "enabled": True,
                "actions": list(SUPPORTED_ACTIONS),
                "operators": list(SECCOMP_OPERATORS),
                "archs": list(SECCOMP_ARCHITECTURES),
                "knownFlags": list(SECCOMP_FLAGS),
                "supportedFlags": ["SECCOMP_FILTER_FLAG_TSYNC"],
            },
            "apparmor": disabled,
            "selinux": disabled,
            "intelRdt": disabled,
            "mountExtensions": {"idmap": disabled},
            "netDevices": disabled,
        },
        "annotations": {
            "dev.pysentry.version": version,
            "dev.pysentry.shared-namespaces": ",".join(SHARED_NAMESPACES),
            "dev.pysentry.not-shared-namespaces": ",".join(
                name for name in NEW_NAMESPACES if name not in SHARED_NAMESPACES
            ),
            "org.opencontainers.runc.checkpoint.enabled": "false",
        },
        "potentiallyUnsafeConfigAnnotations": list(ANNOTATIONS),
    }


def default_config(is_rootless: bool = False, uid: int = 0, gid: int = 0) -> Document:
    """A config.json to begin with: sh on the bundle's "rootfs", read-only, with a terminal.

    Args:
        is_rootless: for a user without privileges; uid, gid: theirs, which become root inside.
    """
    namespaces: list[Document] = [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")]
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):  # as runc has it: with version 1 its users add their own
        namespaces.append({"type": "cgroup"})
    linux: Document = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": namespaces,
        "maskedPaths": [
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/sys/firmware",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    if is_rootless:
        del linux["resources"]  # a user has no cgroups to limit, mostly
        namespaces.append({"type": "user"})
        linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    return {
        "ociVersion": VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [f"PATH={_DEFAULT_PATH}", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(_DEFAULT_CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pysentry",
        "mounts": _default_mounts(is_rootless),
        "linux": linux,
    }


def _default_mounts(is_rootless: bool) -> list[Document]:
    def mount(destination: str, kind: str, source: str, *options: str) -> Document:
        return {"destination": destination, "type": kind, "source": source, "options": list(options)}

    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    if is_rootless:
        terminals.remove("gid=5")  # only one group is mapped
    return [
        mount("/proc", "proc", "proc"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", *terminals),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]
