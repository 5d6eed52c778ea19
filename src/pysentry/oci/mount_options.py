"""Mount options of runtime-spec, as mount(8) and runc know them: which there are, and what each does to a mount.

Owns the tables and reading a list of options with them. What a word or a value then means to a file system is said in
vfs/mount_options.py.
"""

from __future__ import annotations

from pysentry.oci.errors import SpecError
from pysentry.oci.spec_names import PROPAGATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Option -> the word that it adds (True) or takes back (False).
_FLAGS: dict[str, tuple[str, bool]] = {
    "atime": ("noatime", False),
    "bind": ("bind", True),
    "dev": ("nodev", False),
    "diratime": ("nodiratime", False),
    "exec": ("noexec", False),
    "noatime": ("noatime", True),
    "nodev": ("nodev", True),
    "nodiratime": ("nodiratime", True),
    "noexec": ("noexec", True),
    "norelatime": ("relatime", False),
    "nostrictatime": ("strictatime", False),
    "nosuid": ("nosuid", True),
    "nosymfollow": ("nosymfollow", True),
    "rbind": ("rbind", True),
    "relatime": ("relatime", True),
    "ro": ("ro", True),
    "rw": ("ro", False),
    "strictatime": ("strictatime", True),
    "suid": ("nosuid", False),
    "symfollow": ("nosymfollow", False),
    "tmpcopyup": ("tmpcopyup", True),
    # The same for the mount and everything below it.
    "ratime": ("rnoatime", False),
    "rdev": ("rnodev", False),
    "rdiratime": ("rnodiratime", False),
    "rexec": ("rnoexec", False),
    "rnoatime": ("rnoatime", True),
    "rnodev": ("rnodev", True),
    "rnodiratime": ("rnodiratime", True),
    "rnoexec": ("rnoexec", True),
    "rnorelatime": ("rrelatime", False),
    "rnostrictatime": ("rstrictatime", False),
    "rnosuid": ("rnosuid", True),
    "rnosymfollow": ("rnosymfollow", True),
    "rrelatime": ("rrelatime", True),
    "rro": ("rro", True),
    "rrw": ("rro", False),
    "rstrictatime": ("rstrictatime", True),
    "rsuid": ("rnosuid", False),
    "rsymfollow": ("rnosymfollow", False),
}
# There is nothing to do for these: they are what we do anyway, or concern how a host file system keeps its own data.
_WITHOUT_EFFECT = frozenset(
    ("async", "defaults", "iversion", "lazytime", "loud", "mand", "noiversion", "nolazytime", "nomand", "silent")
)
# Accepted, but less than what they ask for happens.
_WARNED = frozenset(("dirsync", "sync"))
# What they forbid, or where they put a mount, would not happen: nobody may believe it did.
_REFUSED = frozenset(("idmap", "remount", "ridmap"))

KNOWN = tuple(sorted({*_FLAGS, *PROPAGATIONS, *_WITHOUT_EFFECT, *_WARNED}))
"""For `features`."""

_TMPFS = {"size", "nr_blocks", "nr_inodes", "mode", "uid", "gid"}
# Options of one kind of mount, mostly NAME=VALUE: those that are passed on, and those that change nothing here.
_DATA: dict[str, tuple[set[str], set[str]]] = {
    "tmpfs": (_TMPFS, {"huge", "mpol", "inode32", "inode64", "noswap"}),
    "shm": (_TMPFS, {"huge", "mpol", "inode32", "inode64", "noswap"}),
    "dev": (_TMPFS, {"huge", "mpol", "inode32", "inode64", "noswap"}),
    "devpts": ({"gid", "mode", "ptmxmode"}, {"max", "newinstance", "uid"}),
    "proc": (set(), {"gid"}),
    "sysfs": (set(), set()),
    "mqueue": (set(), set()),
}
_LABELS = ("context", "defcontext", "fscontext", "rootcontext")


class MountOptions:
    """words: as MountRow has them. data: values by name. warnings: what is accepted and does nothing."""

    __slots__ = ("data", "warnings", "words")

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.data: dict[str, str] = {}
        self.warnings: list[str] = []


def read_options(options: Sequence[str], kind: str, where: str) -> MountOptions:
    """Later options win over earlier ones.

    Args:
        kind: as MountRow has it. where: the path of the mount in the document.

    Raises:
        SpecError: an option that is not known, or that would protect something and cannot be had.
    """
    found = MountOptions()
    for at, option in enumerate(options):
        path = f"{where}.options[{at}]"
        if option in _FLAGS:
            word, is_set = _FLAGS[option]
            if is_set:
                found.words.add(word)
            else:
                found.words.discard(word)
        elif option in PROPAGATIONS:
            found.words.difference_update(PROPAGATIONS)
            found.words.add(option)
        elif option in _WARNED:
            found.warnings.append(f"{path}: {option} has no effect")
        elif option in _REFUSED:
            raise SpecError(path, f"mount option {option} is not supported")
        elif option and option not in _WITHOUT_EFFECT:
            _read_data(found, option, kind, path)
    return found


def _read_data(found: MountOptions, option: str, kind: str, path: str) -> None:
    name, _, value = option.partition("=")
    if name in _LABELS:
        found.warnings.append(f"{path}: SELinux labels are ignored")
        return
    if kind == "cgroup":
        return  # names of controllers: the view is the same whatever is asked for
    if kind == "bind":
        found.warnings.append(f"{path}: {option!a} has no effect on a bind mount")
        return
    if kind == "proc" and option in ("hidepid=0", "hidepid=off"):
        return
    passed_on, ignored = _DATA[kind]
    if name in passed_on:
        found.data[name] = value
    elif name not in ignored:
        raise SpecError(path, f"mount option {option!a} is not supported for {kind}")
