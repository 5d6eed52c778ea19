"""From a freshly forked process to a gofer: a root with nothing but the trees, no privilege beyond reading them.

Owns the order of the steps; tree.py mounts one tree, filter.py writes the filter, native/gofer/setup.c makes the calls.
Each step is named; GoferSetupError carries the name of the one that failed, and a gofer never serves half set up.
"""

from __future__ import annotations

import gc
import os
import sys
from errno import EINVAL

from gofer import protocol
from gofer._native import ffi, lib
from gofer.filter import build_filter
from gofer.protocol import GoferSetupError
from gofer.syscalls import check
from gofer.tree import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    AttachedTree,
    Tree,
    attach_tree,
    clone_tree,
    cover_kernel_mounts,
    is_kernel_interface,
    kernel_mounts,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

# <linux/capability.h>
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID = 0, 1, 2, 3, 4
CAP_SYS_ADMIN, CAP_SETFCAP = 21, 31

# HUP, INT, QUIT, USR1, USR2, PIPE, TERM, TSTP, TTIN, TTOU: the sentry decides when a gofer ends, by hanging up.
IGNORED_SIGNALS = (1, 2, 3, 10, 12, 13, 15, 20, 21, 22)
SIGKILL = 9


class IdMap:
    """How the gofer's user namespace shows ids: see native/gofer/server.h, struct gofer_id_map. All 0: as they are."""

    __slots__ = ("gid", "gid_inside", "overflow", "uid", "uid_inside")

    def __init__(self, overflow: int = 0, uid_inside: int = 0, uid: int = 0, gid_inside: int = 0, gid: int = 0) -> None:
        self.overflow = overflow
        self.uid_inside = uid_inside
        self.uid = uid
        self.gid_inside = gid_inside
        self.gid = gid


class Locked:
    """What is left when the lock-down is complete: all the descriptors a gofer has, besides three dead ones at 0-2."""

    __slots__ = ("id_map", "may_set_capabilities", "proc_fd", "pts_fd", "sock_fd", "trees")

    def __init__(
        self,
        sock_fd: int,
        proc_fd: int,
        pts_fd: int,
        trees: list[AttachedTree],
        id_map: IdMap,
        may_set_capabilities: bool,
    ) -> None:
        self.sock_fd = sock_fd
        self.proc_fd = proc_fd
        self.pts_fd = pts_fd
        self.trees = trees
        self.id_map = id_map
        self.may_set_capabilities = may_set_capabilities


class _Step:
    """Names what is being done; an OSError inside becomes a GoferSetupError of that name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, GoferSetupError):
            raise GoferSetupError(self.name, error.errno or EINVAL) from None


def keep_only_socket(sock_fd: int) -> int:
    """Closes every descriptor but the socket, which moves to 3; its new number is returned. 0-2 become O_PATH
    descriptors, which nothing can be read from or written to, so that no file served can end up there."""
    sys.stdin = sys.stdout = sys.stderr = None
    if sock_fd != 3:
        os.dup2(sock_fd, 3, inheritable=False)
    check(lib.gofer_close_range(4, 0xFFFFFFFF))
    _fill_stdio()
    os.set_blocking(3, True)
    return 3


def enter(
    trees: Sequence[Tree], sock_fd: int, is_killed_with_parent: bool = False, has_own_root: bool = True
) -> Locked:
    """Does all of it. The calling process must be single-threaded and have no use for anything it holds.

    has_own_root: root of the sandbox is root here too, so a program of the sandbox may be given root's capabilities.
    GoferSetupError: a step failed; the process is then in between, and only fit to say so and exit.
    """
    with _Step("signals"):
        check(lib.gofer_reset_signals(IGNORED_SIGNALS, len(IGNORED_SIGNALS)))
        if is_killed_with_parent:
            check(lib.gofer_parent_death_signal(SIGKILL))
    with _Step("close descriptors"):
        sock_fd = keep_only_socket(sock_fd)
        check(lib.gofer_set_name(b"gofer"))
    with _Step("open /proc/self/fd"):
        proc_fd = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with _Step("read /proc/self/mountinfo"):
        mountinfo = _read("/proc/self/mountinfo")
    with _Step("namespaces"):
        id_map, is_privileged = _enter_namespaces()
        check(lib.gofer_mount_private())
    attached, root, pts_fd = _build_root(trees, mountinfo)
    with _Step("pivot_root"):
        check(lib.gofer_pivot_root(root))
        _fill_stdio()  # those of the old root would keep it alive
        os.close(root)
        # Where relative names of extended attributes are looked up: "17" is descriptor 17 (see server.py).
        os.fchdir(proc_fd)
    with _Step("drop privileges"):
        os.umask(0)
        keep = _capabilities(trees, is_privileged, has_own_root)
        check(lib.gofer_keep_capabilities(keep))
        check(lib.gofer_no_new_privileges())
        check(lib.gofer_not_dumpable())
    with _Step("seccomp"):
        gc.disable()  # everything made from here on is gone with its request
        program = build_filter(any(tree.writable for tree in trees))
        check(lib.gofer_install_filter(ffi.from_buffer(program), len(program) // 8))
    if not is_privileged:
        for tree in attached:
            tree.flags |= protocol.TREE_ONE_OWNER
    return Locked(sock_fd, proc_fd, pts_fd, attached, id_map, bool(keep >> CAP_SETFCAP & 1))


def _fill_stdio() -> None:
    """Puts descriptors of the root directory, fit for nothing, at 0, 1 and 2."""
    null = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        if fd != null:
            os.dup2(null, fd, inheritable=False)
    if null > 2:
        os.close(null)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _enter_namespaces() -> tuple[IdMap, bool]:
    """A mount namespace of our own; without privilege, a user namespace to own it. Also: whether we had privilege."""
    effective = ffi.new("uint64_t *")
    check(lib.gofer_capabilities(effective))
    if effective[0] >> CAP_SYS_ADMIN & 1:
        check(lib.gofer_unshare(CLONE_NEWNS))
        if _read("/proc/self/uid_map").split() == [b"0", b"0", b"4294967295"]:
            return IdMap(), True
        return IdMap(overflow=int(_read("/proc/sys/fs/overflowuid"))), True
    uid, gid = os.geteuid(), os.getegid()
    overflow = int(_read("/proc/sys/fs/overflowuid"))
    # Everybody else's files will show as `overflow`: if that is our own number, we need another one inside.
    uid_inside, gid_inside = (1 if uid == overflow else uid), (1 if gid == overflow else gid)
    check(lib.gofer_dumpable())
    check(lib.gofer_unshare(CLONE_NEWUSER | CLONE_NEWNS))
    _write("/proc/self/setgroups", "deny")  # user_namespaces(7): else gid_map can't be written
    _write("/proc/self/gid_map", f"{gid_inside} {gid} 1")
    _write("/proc/self/uid_map", f"{uid_inside} {uid} 1")
    return IdMap(overflow, uid_inside, uid, gid_inside, gid), False


def _build_root(trees: Sequence[Tree], mountinfo: bytes) -> tuple[list[AttachedTree], int, int]:
    """Makes the new root on top of the old one, with /0, /1, ... and /pts. Returns trees, root and /pts."""
    clones = []
    for tree in trees:
        with _Step(f"clone {tree.path}"):
            tree.writable = tree.writable and not is_kernel_interface(tree.path, mountinfo)
            clones.append(clone_tree(tree))  # before the new root hides the way there
    with _Step("mount root"):
        root = _new_mount("tmpfs", ["size", "64k", "mode", "755"], MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV)
        old_root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        check(lib.gofer_move_mount(root, old_root))
        os.close(old_root)
        os.mkdir("empty", 0o555, dir_fd=root)
        os.close(os.open("empty-file", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444, dir_fd=root))
    with _Step("mount /pts"):
        os.mkdir("pts", dir_fd=root)
        pts = _new_mount("devpts", ["newinstance", "", "ptmxmode", "666", "mode", "600"], MOUNT_ATTR_NOEXEC)
        target = os.open("pts", os.O_PATH | os.O_CLOEXEC, dir_fd=root)
        check(lib.gofer_move_mount(pts, target))
        os.close(target)
    attached = []
    for number, (tree, clone) in enumerate(zip(trees, clones, strict=True)):
        with _Step(f"attach {tree.path}"):
            attached.append(attach_tree(root, number, tree, clone))
        if not tree.with_kernel_filesystems:
            with _Step(f"cover kernel file systems below {tree.path}"):
                cover_kernel_mounts(root, attached[-1], kernel_mounts(tree, mountinfo))
    with _Step("read-only root"):
        check(lib.gofer_mount_setattr(root, MOUNT_ATTR_RDONLY, 0))
    return attached, root, pts


def _new_mount(type_: str, options: list[str], attributes: int) -> int:
    texts = [ffi.new("char[]", text.encode()) for text in options]
    array = ffi.new("const char *[]", texts)
    return check(lib.gofer_new_mount(type_.encode(), array, len(options) // 2, attributes | MOUNT_ATTR_NOSUID))


def _capabilities(trees: Sequence[Tree], is_privileged: bool, has_own_root: bool) -> int:
    """What a privileged gofer keeps: reading and searching anything; to write, also what root's own tools would use.
    For a root file system in place that includes file capabilities (an image's ping has one). One without privilege
    keeps nothing, or, for a root in place, what makes no difference but to its own user's files: their mode."""
    is_writable = any(tree.writable for tree in trees)
    is_in_place = is_writable and any(tree.is_root_in_place for tree in trees)
    if not is_privileged:
        return 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH | 1 << CAP_FSETID if is_in_place else 0
    keep = 1 << CAP_DAC_READ_SEARCH
    if is_writable:
        keep |= 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER | 1 << CAP_CHOWN | 1 << CAP_FSETID
    if is_in_place and has_own_root:
        keep |= 1 << CAP_SETFCAP
    return keep
