"""Settings that a container is given (linux.sysctl of config.json), put into its /proc/sys at boot.

Owns which of them exist here. Those of the network are the host kernel's too, in the sandbox's own network namespace
(sandbox/namespaces.py writes them there); all others are the sandbox's, as a write of its root would leave them.
"""

from __future__ import annotations

from pysentry.abi.errno import LinuxError
from pysentry.vfs.filesystems.generated import Directory, File, constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysentry.vfs.filesystems.generated import Node

_SWAP = str.maketrans("./", "/.")


class SettingError(ValueError):
    """A setting that does not exist here, or cannot have that value."""


class _RootCredentials:
    euid = 0


class _Root:
    """Whom the settings' files take for the writer."""

    cred = _RootCredentials()

    def has_cap(self, capability: int) -> bool:
        return True


def give_settings(directory: Directory, settings: Mapping[str, str]) -> None:
    """Sets what `directory`, a /proc/sys, shows. Names are sysctl(8)'s: dots, and slashes for dots in a name."""
    for name, value in settings.items():
        path = name.translate(_SWAP)
        place, is_missing = _find(directory, path)
        if is_missing and not path.startswith("net/"):
            raise SettingError(f'sysctl "{name}": there is no such setting in the sandbox')
        node = place.get(path.rpartition("/")[2].encode())
        if isinstance(node, File) and node.store is not None:
            try:
                node.store(_Root(), value.encode() + b"\n")  # type: ignore[arg-type]
            except LinuxError as error:
                raise SettingError(f'sysctl "{name}" cannot be "{value}": {error}') from None
        elif node is None or isinstance(node, File):  # only shown
            content = constant("\t".join(value.split()).encode() + b"\n")
            place[path.rpartition("/")[2].encode()] = File(content, 0o644 if node is None else node.mode & 0o777)
        else:
            raise SettingError(f'sysctl "{name}" is a directory')


def _find(directory: Directory, path: str) -> tuple[dict[bytes, Node], bool]:
    """The table that holds the last name of a path, made if it is missing; and whether the name is not in it."""
    entries = directory.entries
    assert isinstance(entries, dict)
    *parents, last = path.split("/")
    for name in parents:
        below = entries.get(name.encode())
        if not isinstance(below, Directory):
            below = Directory({})
            if path.startswith("net/"):
                entries[name.encode()] = below
        entries = below.entries
        assert isinstance(entries, dict)
    return entries, last.encode() not in entries
