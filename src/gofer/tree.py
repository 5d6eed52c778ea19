"""What the gofer serves: host trees, and how each becomes a mount in the gofer's own root.

Owns the mount of one tree. Does not own the namespace it is put into (lockdown.py).
"""

from __future__ import annotations

import os
from errno import EINVAL, ELOOP, ENOENT, ENOTDIR
from stat import S_ISDIR, S_ISLNK, S_ISREG

from gofer import protocol
from gofer._native import lib
from gofer.syscalls import check

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

# File systems that are views of the host's kernel, not files. The sentry has its own; here they are covered.
KERNEL_FILESYSTEMS = frozenset(
    b"proc sysfs devtmpfs devpts mqueue cgroup cgroup2 securityfs debugfs tracefs configfs pstore bpf efivarfs "
    b"binfmt_misc fusectl selinuxfs smackfs rpc_pipefs nfsd nsfs hugetlbfs resctrl".split()
)


class Tree:
    """A host directory or regular file that is served.

    path: absolute host path; symlinks in it are followed once, at set-up.
    writable: changes reach the host. Not of a kernel interface, whatever this says.
    is_top_read_only: writable is only what is mounted below it.
    immutable: nobody changes it while it is served, so what was found once may be kept.
    with_kernel_filesystems: leave mounts of /proc, /sys and the like below it visible.
    is_recursive: with what is mounted below it. is_noexec: nothing in it can be mapped as code, by nobody.
    may_be_special: it may be a device, FIFO or socket: its attributes are served, it is never opened.
    is_root_in_place: the whole root of a sandbox, which is changed as root of a host would change it.
    """

    __slots__ = (
        "immutable", "is_noexec", "is_recursive", "is_root_in_place", "is_top_read_only", "may_be_special", "path",
        "with_kernel_filesystems", "writable",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        writable: bool = False,
        immutable: bool = False,
        with_kernel_filesystems: bool = False,
        is_recursive: bool = True,
        is_noexec: bool = False,
        may_be_special: bool = False,
        is_root_in_place: bool = False,
        is_top_read_only: bool = False,
    ) -> None:
        self.path = path
        self.writable = writable
        self.immutable = immutable
        self.with_kernel_filesystems = with_kernel_filesystems
        self.is_recursive = is_recursive
        self.is_noexec = is_noexec
        self.may_be_special = may_be_special
        self.is_root_in_place = is_root_in_place
        self.is_top_read_only = is_top_read_only


class AttachedTree:
    """A tree that is in place: `fd` is O_PATH on its root, `flags` are TREE_*."""

    __slots__ = ("fd", "flags")

    def __init__(self, fd: int, flags: int) -> None:
        self.fd = fd
        self.flags = flags


def is_kernel_interface(path: str, mountinfo: bytes) -> bool:
    """True if what is there is a setting of the host's kernel rather than a file: below /proc or /sys, say."""
    device = os.stat(path).st_dev
    number = b"%d:%d" % (os.major(device), os.minor(device))
    kinds = KERNEL_FILESYSTEMS - {b"devtmpfs", b"hugetlbfs"}
    lines = [line.split(b" ") for line in mountinfo.splitlines()]
    return any(fields[2] == number and fields[fields.index(b"-") + 1] in kinds for fields in lines)


def clone_tree(tree: Tree) -> int:
    """A detached copy of the tree's mount and all below it, read-only unless writable. Returns its descriptor."""
    fd: int = check(lib.gofer_open_tree(-100, os.fsencode(tree.path), tree.is_recursive))
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (0 if tree.writable else MOUNT_ATTR_RDONLY)
    attributes |= MOUNT_ATTR_NOEXEC if tree.is_noexec else 0
    check(lib.gofer_mount_setattr(fd, attributes, 1))
    if tree.is_top_read_only:
        check(lib.gofer_mount_setattr(fd, MOUNT_ATTR_RDONLY, 0))
    return fd


def attach_tree(root: int, number: int, tree: Tree, clone: int) -> AttachedTree:
    """Mounts a cloned tree at /<number> below the descriptor `root`. OSError: EINVAL if it is no directory or file."""
    name = str(number)
    flags = (protocol.TREE_WRITABLE if tree.writable else 0) | (protocol.TREE_IMMUTABLE if tree.immutable else 0)
    mode = os.stat(clone).st_mode
    if S_ISDIR(mode):
        os.mkdir(name, 0o755, dir_fd=root)
    elif S_ISREG(mode) or (tree.may_be_special and not S_ISLNK(mode)):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=root))
        flags |= protocol.TREE_FILE
    else:
        raise OSError(EINVAL, "neither a directory nor a regular file")
    target = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=root)
    check(lib.gofer_move_mount(clone, target))
    os.close(target)
    os.close(clone)
    # Opened again: this one is the root of the mount, not the place below it.
    return AttachedTree(os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=root), flags)


def kernel_mounts(tree: Tree, mountinfo: bytes) -> list[bytes]:
    """Paths, relative to the tree's root, of kernel file systems mounted below it; none lies below another.

    mountinfo is the text of /proc/self/mountinfo (proc(5)).
    """
    return _kernel_mounts_of(_mounts_below(tree.path, mountinfo))


def mounts_of_files(path: str, mountinfo: bytes) -> list[bytes]:
    """Paths, relative to `path`, of what is mounted below it and is not covered as a kernel file system: each after
    those that it is below. One may be hidden by a mount over it."""
    mounts = _mounts_below(path, mountinfo)
    covered = _kernel_mounts_of(mounts)
    return list({below: None for below, _ in mounts if not _is_below(below, covered)})


def _kernel_mounts_of(mounts: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The paths of kernel file systems among what _mounts_below() found; none lies below another."""
    outermost: list[bytes] = []
    for path, kind in mounts:
        if kind in KERNEL_FILESYSTEMS and not _is_below(path, outermost[-1:]):
            outermost.append(path)
    return outermost


def _mounts_below(path: str, mountinfo: bytes) -> list[tuple[bytes, bytes]]:
    """(path relative to `path`, type) of each mount below it, by path."""
    base = os.fsencode(os.path.realpath(path)).rstrip(b"/") + b"/"
    found: list[tuple[bytes, bytes]] = []
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        point = _unescape(fields[4])
        if point.startswith(base) and len(point) > len(base):
            found.append((point[len(base) :], fields[fields.index(b"-") + 1]))
    found.sort()
    return found


def _is_below(path: bytes, tops: list[bytes]) -> bool:
    """Is the path one of these, or in one?"""
    return any(path == top or path.startswith(top + b"/") for top in tops)


def cover_kernel_mounts(root: int, attached: AttachedTree, paths: list[bytes]) -> None:
    """Mounts the empty directory or file of the gofer's root over each path, as only covering also works on
    mounts that a user namespace has locked."""
    for path in paths:
        target = lib.gofer_openat2(attached.fd, path, os.O_PATH, 0)
        if target in (-ENOENT, -ENOTDIR, -ELOOP):
            continue  # already hidden below another mount
        check(target)
        empty = b"empty" if S_ISDIR(os.stat(target).st_mode) else b"empty-file"
        cover = check(lib.gofer_open_tree(root, empty, 0))
        check(lib.gofer_mount_setattr(cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0))
        check(lib.gofer_move_mount(cover, target))
        os.close(cover)
        os.close(target)


def _unescape(field: bytes) -> bytes:
    """Undoes the \\ooo of a path in mountinfo."""
    if b"\\" not in field:
        return field
    parts = field.split(b"\\")
    return parts[0] + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts[1:])
