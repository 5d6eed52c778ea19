"""The dentry cache from Python: a typed face of native/vfs/{dcache,inode,path}.c, and what Python keeps about inodes.

A dentry without a reference may go when a walk of the fast path trims the cache, never during a handler; what is held
across an await, or across another walk on a bind, takes `lib.dentry_ref`.
"""

from __future__ import annotations

from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock

_PATH_SIZE = 8192


def find(directory: CDentry, name: bytes) -> CDentry | None:
    """The cached dentry of a name, which may be negative; None: not known."""
    found: CDentry = lib.dentry_find(directory, name, len(name))
    return found if found != ffi.NULL else None


def add(directory: CDentry, name: bytes, inode: CInode | None) -> CDentry:
    """Makes a name known; inode None: known not to exist. What was there is replaced."""
    made: CDentry = lib.dentry_add(directory, name, len(name), ffi.NULL if inode is None else inode)
    return made


def add_unhashed(directory: CDentry, name: bytes, inode: CInode) -> CDentry:
    """A dentry that no lookup finds; it comes with one reference."""
    made = add(directory, name, inode)
    lib.dentry_ref(made)
    lib.dentry_drop(made)
    return made


def move(dentry: CDentry, directory: CDentry, name: bytes) -> None:
    """Gives a dentry another place; what was there is dropped."""
    lib.dentry_move(dentry, directory, name, len(name))


def swap(one: CDentry, other: CDentry) -> None:
    """Two dentries change places."""
    one_directory, one_name = one.parent, dentry_name(one)
    other_directory, other_name = other.parent, dentry_name(other)
    move(one, one_directory, b"/exchange")  # no name has a slash
    move(other, one_directory, one_name)
    move(one, other_directory, other_name)


class Hold:
    """`with Hold(a, b):` keeps dentries while other walks may drop what they find changed."""

    __slots__ = ("_dentries",)

    def __init__(self, *dentries: CDentry) -> None:
        self._dentries = dentries

    def __enter__(self) -> None:
        for dentry in self._dentries:
            lib.dentry_ref(dentry)

    def __exit__(self, *_exception: object) -> None:
        for dentry in self._dentries:
            lib.dentry_unref(dentry)


def new_inode(sb: CSuperblock, mode: int) -> CInode:
    """An inode without references: times now, one link (a directory two)."""
    made: CInode = lib.inode_new(sb, mode)
    return made


def dentry_name(dentry: CDentry) -> bytes:
    """The last component; b"" for a root."""
    return bytes(ffi.buffer(dentry.name, dentry.name_len))


def is_positive(dentry: CDentry) -> bool:
    """True if the name exists."""
    return bool(dentry.inode != ffi.NULL)


def is_mount_point(dentry: CDentry) -> bool:
    """True if something is mounted on it."""
    return bool(dentry.mounted != ffi.NULL)


def topmost(dentry: CDentry) -> CDentry:
    """The root of what is mounted here, or the dentry itself."""
    while dentry.mounted != ffi.NULL:
        dentry = dentry.mounted
    return dentry


def children(directory: CDentry) -> list[CDentry]:
    """The cached entries of a directory that exist, newest first (as the fast path lists them, and Linux a tmpfs)."""
    found = []
    child = directory.first_child
    while child != ffi.NULL:
        if child.inode != ffi.NULL:
            found.append(child)
        child = child.next_sibling
    return found


def path_of(dentry: CDentry, root: CDentry | None = None) -> bytes:
    """Absolute path below `root`, with "(unreachable)" in front if it is elsewhere; None: the sandbox's own root."""
    buffer = ffi.new("char[]", _PATH_SIZE)
    length = lib.dentry_path(ffi.NULL if root is None else root, dentry, buffer, _PATH_SIZE)
    if length < 0:
        return b""
    text = bytes(ffi.buffer(buffer, length))
    return text.removeprefix(b"(unreachable)") if root is None else text


# ---- descriptions ---------------------------------------------------------------------------------------------------


def new_description(kind: int, host_fd: int, open_flags: int) -> CDescription:
    """A description with one reference, which owns `host_fd` (-1: none)."""
    made: CDescription = lib.desc_new(kind, host_fd, open_flags)
    return made


def file_description(kind: int, host_fd: int, open_flags: int, has_own_position: bool = False) -> CDescription:
    """The same for a file that is always ready. `has_own_position`: `host_fd` shares one with other descriptions."""
    made = new_description(kind, host_fd, open_flags)
    made.flags |= lib.DESC_NO_POLL | (lib.DESC_OWN_POS if has_own_position else 0)
    return made


def attach(description: CDescription, dentry: CDentry) -> None:
    """Ties a description to the place where it was opened."""
    if description.dentry == ffi.NULL:
        lib.dentry_ref(dentry)
        description.dentry = dentry
    if description.inode == ffi.NULL:
        lib.inode_ref(dentry.inode)
        description.inode = dentry.inode
        lib.desc_counts_writer(description)


# ---- what Python keeps about an inode -----------------------------------------------------------------------------

_attachments: dict[int, dict[str, Any]] = {}


def attachment(inode: CInode, key: str) -> Any:
    """What was attached to an inode under a key, or None."""
    kept = _attachments.get(inode.id)
    return kept.get(key) if kept else None


def attach_to_inode(inode: CInode, key: str, value: Any) -> None:
    """Keeps a Python object for as long as the inode lives."""
    inode.flags |= lib.INODE_ATTACHED
    _attachments.setdefault(inode.id, {})[key] = value


def forget_inode(identity: int) -> None:
    """The engine: an inode is gone."""
    _attachments.pop(identity, None)
