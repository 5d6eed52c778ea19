"""`mounts` and `linux.devices` of config.json as the sandbox takes them.

Owns which kind of mount a row is. Does not look at sources (sandbox/container_trees.py does). Destinations are looked
up inside, where symlinks cannot lead out.
"""

from __future__ import annotations

import os

from pysentry.oci.errors import SpecError
from pysentry.oci.mount_options import read_options
from pysentry.sandbox.config import MountRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.spec import Mount, Spec
    from pysentry.oci.spec_linux import Linux

# Types of config.json that are not binds -> the kind of MountRow.
KINDS = {
    "cgroup": "cgroup",
    "cgroup2": "cgroup",
    "devpts": "devpts",
    "mqueue": "mqueue",
    "proc": "proc",
    "sysfs": "sysfs",
    "tmpfs": "tmpfs",
}
# A tmpfs there is more than a tmpfs: nodes are made in the one, the other may be asked for its name.
_SPECIAL_TMPFS = {"/dev": "dev", "/dev/shm": "shm"}


def absolute_inside(path: str) -> str:
    """A path from the container's root, without "..": none leads above it."""
    return os.path.normpath("/" + path.lstrip("/"))


def translate_mounts(spec: Spec, bundle: str, warnings: list[str]) -> list[MountRow]:
    """The rows in their order. bundle: relative sources of binds are below it.

    Raises:
        SpecError: names the mount.
    """
    return [_row(mount, bundle, warnings) for mount in spec.mounts]


def _row(mount: Mount, bundle: str, warnings: list[str]) -> MountRow:
    if not mount.destination.startswith("/"):
        warnings.append(f"{mount.where}.destination: relative path is deprecated, using it as relative to /")
    target = absolute_inside(mount.destination)
    if target == "/":
        raise SpecError(f"{mount.where}.destination", "the root itself is root.path")
    if mount.uid_mappings or mount.gid_mappings:
        raise SpecError(mount.where, "id-mapped mounts are not supported")
    kind = _kind(mount, target)
    options = read_options(mount.options, kind, mount.where)
    warnings += options.warnings
    words = options.words - {"bind"}
    source = None
    if kind == "bind":
        if not mount.source:
            raise SpecError(f"{mount.where}.source", "a bind mount needs one")
        source = os.path.join(bundle, mount.source)
        if mount.type == "rbind":
            words.add("rbind")
    return MountRow(kind, target, source, words, options.data)


def _kind(mount: Mount, target: str) -> str:
    """bind and rbind count as types and as options; the type of a row with the option is ignored, as runc does."""
    if mount.type in ("bind", "rbind") or "bind" in mount.options or "rbind" in mount.options:
        return "bind"
    if mount.type not in KINDS:
        raise SpecError(f"{mount.where}.type", f"cannot mount a file system of type {mount.type!a}: no such device")
    kind = KINDS[mount.type]
    return _SPECIAL_TMPFS.get(target, kind) if kind == "tmpfs" else kind


def translate_paths(paths: tuple[str, ...], where: str) -> tuple[str, ...]:
    """maskedPaths and readonlyPaths. SpecError for the root: the one would hide all, the other is root.readonly."""
    made = tuple(absolute_inside(path) for path in paths)
    if "/" in made:
        raise SpecError(f"{where}[{made.index('/')}]", "must not be the root")
    return made


def translate_devices(linux: Linux) -> list[tuple[str, str, int, int, int, int, int]]:
    """(path, "c", "b" or "p", major, minor, mode, uid, gid). SpecError."""
    made = []
    for device in linux.devices:
        path = absolute_inside(device.path)
        if path == "/":
            raise SpecError(f"{device.where}.path", f"{device.path!a} is not a path of a device")
        for name, value in (("major", device.major), ("minor", device.minor)):
            if device.type != "p" and not 0 <= value < 1 << (12 if name == "major" else 20):
                raise SpecError(f"{device.where}.{name}", f"{value} is not a device number")
        mode = 0o666 if device.file_mode is None else device.file_mode & 0o7777
        kind = {"u": "c"}.get(device.type, device.type)
        numbers = (0, 0) if kind == "p" else (device.major, device.minor)
        made.append((path, kind, *numbers, mode, device.uid, device.gid))
    return made
