"""mount(2) and its kin: changing the tree of mounts while the sandbox runs.

Owns what these calls require (Linux fs/namespace.c) and the file systems that a program may mount: those that live in
the sentry. Everything stays in the sandbox's own tree; the host is never asked to mount anything, and no file system
can be mounted from a block device. What a mount means to its peers and slaves is propagation.py's.
"""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_ADMIN
from pysentry.abi.errno import (
    EAGAIN,
    EBUSY,
    EINVAL,
    ELOOP,
    ENODEV,
    ENOENT,
    ENOTDIR,
    EPERM,
    LinuxError,
)
from pysentry.abi.fcntl import AT_FDCWD, O_ACCMODE, O_RDONLY
from pysentry.abi.stat import is_directory
from pysentry.platform.native import ffi, lib
from pysentry.vfs import notify
from pysentry.vfs.dentry import Hold, children
from pysentry.vfs.filesystems.bind import BindFileSystem, make_bind_of
from pysentry.vfs.filesystems.tree import make_tree
from pysentry.vfs.mounts import (
    SETTABLE,
    Mount,
    all_mounts,
    attach_mount,
    first_root,
    mount_of,
    new_device,
    tell_of_change,
)
from pysentry.vfs.permissions import is_capable
from pysentry.vfs.propagation import change, copy_tree, drop_mount, echoes, graft, parts_of, place_in, take_off
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CSuperblock
    from pysentry.vfs.filesystem import FileSystem

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOSYMFOLLOW = 0x20, 0x100
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC = 0x400, 0x800, 0x1000, 0x2000, 0x4000
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
# SYNCHRONOUS, MANDLOCK, DIRSYNC, SILENT, POSIXACL, I_VERSION, LAZYTIME: true anyway, or without a meaning in memory.
_MS_INDIFFERENT = 0x10 | 0x40 | 0x80 | 1 << 15 | 1 << 16 | 1 << 23 | 1 << 25
_MS_SILENT = 1 << 15
_PROPAGATION = {MS_UNBINDABLE: "unbindable", MS_PRIVATE: "private", MS_SLAVE: "slave", MS_SHARED: "shared"}
_KERNEL_ONLY = 1 << 26 | 1 << 28 | 1 << 29 | 1 << 30 | 1 << 31  # SUBMOUNT, NOSEC, BORN, ACTIVE, NOUSER
MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW = 1, 2, 4, 8

_FLAGS = (
    (MS_RDONLY, lib.SB_RDONLY),
    (MS_NOSUID, lib.SB_NOSUID),
    (MS_NODEV, lib.SB_NODEV),
    (MS_NOEXEC, lib.SB_NOEXEC),
    (MS_NOATIME, lib.SB_NOATIME),
    (MS_NODIRATIME, lib.SB_NODIRATIME),
    (MS_NOSYMFOLLOW, lib.SB_NOSYMFOLLOW),
)
_SUFFIXES = {b"k": 10, b"m": 20, b"g": 30, b"t": 40}

# File systems by name: made from the superblock's flags and the options.
makers: dict[bytes, Callable[[int, bytes], FileSystem]] = {}
_leaving: list[FileSystem] = []  # unmounted while in use
_expiring: set[int] = set()  # superblock ids that MNT_EXPIRE marked


def register_type(name: bytes, maker: Callable[[int], FileSystem]) -> None:
    """Boot: a file system that takes no options, made of a device number."""

    def make(flags: int, options: bytes) -> FileSystem:
        for mount in all_mounts():  # there is one instance, which is shown once more
            if mount.file_system.type_name == name.decode() and not isinstance(mount.file_system, BindFileSystem):
                return make_bind_of(mount.sb.root, flags | mount.sb.flags & lib.SB_RDONLY)
        made = maker(new_device())
        made.sb.flags |= flags
        return made

    makers[name] = make


def mount(task: Task, source: bytes | None, target: bytes, type_name: bytes | None, flags: int, options: bytes) -> None:
    """mount(2): path_mount() in Linux; None: a null pointer."""
    at = resolve(task, AT_FDCWD, target).require()
    check_may_mount(task)
    if at.sb.kind == lib.FS_PROC and not is_directory(at.inode.mode) and at.parent.parent != at.parent:
        raise ENOENT("a file of a process")  # dont_mount() in proc: its meaning changes
    if flags & _KERNEL_ONLY or (flags & MS_STRICTATIME and not flags & MS_REMOUNT):
        raise EINVAL("flags")
    with Hold(at):
        if flags & MS_REMOUNT:
            _remount(at, flags)
        elif flags & MS_BIND:
            _bind(task, source, at, bool(flags & MS_REC))
        elif flags & sum(_PROPAGATION):
            set_propagation(at, flags)
        elif flags & MS_MOVE:
            _move(task, source, at)
        else:
            _mount_new(task, source, at, type_name, flags, options)


def _sb_flags(flags: int) -> int:
    return sum(ours for linux, ours in _FLAGS if flags & linux)


def require_mount_root(dentry: CDentry) -> Mount:
    if dentry != dentry.sb.root:
        raise EINVAL("not the root of a mount")
    return mount_of(dentry)


def _remount(at: CDentry, flags: int) -> None:
    """Only what a mount says about itself changes. EBUSY: read-only, and something is open for writing."""
    mount = require_mount_root(at)
    change_flags(mount, _sb_flags(flags), checks_writers=not flags & MS_BIND)


def change_flags(mount: Mount, wanted: int, checks_writers: bool) -> None:
    """Gives a mount these SB_* flags. EBUSY: read-only, and open for writing; EPERM: not to be made writable."""
    check_flags(mount, wanted, checks_writers)
    mount.sb.flags = mount.sb.flags & ~SETTABLE | wanted
    tell_of_change(mount)


def check_flags(mount: Mount, wanted: int, checks_writers: bool) -> None:
    """What change_flags() raises."""
    sb = mount.sb
    if wanted & lib.SB_RDONLY and not sb.flags & lib.SB_RDONLY and checks_writers and is_written(sb):
        raise EBUSY("open for writing")
    if sb.flags & lib.SB_RDONLY and not wanted & lib.SB_RDONLY and _is_given_read_only(mount):
        raise EPERM("given read-only")


def _is_given_read_only(mount: Mount) -> bool:
    """True where the file system behind a mount must not be written, whatever the mount says."""
    shown = mount.file_system.inner.sb if isinstance(mount.file_system, BindFileSystem) else mount.sb
    return bool(shown.flags & lib.SB_RDONLY) and shown.kind in (lib.FS_GOFER, lib.FS_SYS)


def _bind(task: Task, source: bytes | None, at: CDentry, is_recursive: bool) -> None:
    if not source:
        raise EINVAL("no source")
    shown = resolve(task, AT_FDCWD, source).require()
    if is_directory(shown.inode.mode) != is_directory(at.inode.mode):
        raise ENOTDIR("a directory and a file")
    graft_new(task, bind_tree(task, shown, is_recursive), at)


def bind_tree(task: Task, shown: CDentry, is_recursive: bool) -> Mount:
    """Shows a place once more, nowhere yet; with what is mounted below it. EINVAL: unbindable."""
    if shown.sb.flags & lib.SB_UNBINDABLE:
        raise EINVAL("unbindable")
    return copy_tree(task, shown, is_recursive)[0][1]


def graft_new(task: Task, mount: Mount, at: CDentry) -> None:
    """graft() of what has just been made, and is given up if it fails."""
    try:
        graft(task, mount, at)
    except LinuxError:
        release_unused()
        raise


def unshare_mounts(task: Task) -> None:
    """CLONE_NEWNS: a namespace of the task's own, in which every mount of the old one is shown by a bind.

    Its fs_context must be its own. EPERM without CAP_SYS_ADMIN."""
    check_may_mount(task)
    release_unused()
    fs = task.c.fs
    pairs = copy_tree(task, first_root(fs.root), is_recursive=True, with_unbindable=True)
    copies = {mount.identity: copy for mount, copy in pairs}
    new: CDentry = pairs[0][1].sb.root
    root, cwd = (
        place_in(task, copies[int(place.sb.id)], place) if int(place.sb.id) in copies else None
        for place in (fs.root, fs.cwd)
    )
    lib.fs_set_root(fs, root or new)
    lib.fs_set_cwd(fs, cwd or new)


def set_propagation(at: CDentry, flags: int) -> None:
    """MS_SHARED and its kin, of one mount or (MS_REC) all below: do_change_type()."""
    kind = _PROPAGATION.get(flags & ~(MS_REC | _MS_SILENT))
    if kind is None:
        raise EINVAL("propagation")
    mount = require_mount_root(at)
    for each in (mount, *parts_of(at)) if flags & MS_REC else (mount,):
        change(each, kind)


def _move(task: Task, source: bytes | None, at: CDentry) -> None:
    if not source:
        raise EINVAL("no source")
    moved = resolve(task, AT_FDCWD, source).require()
    mount = require_mount_root(moved)
    if mount.sb.covered == ffi.NULL:
        raise EINVAL("the first root")
    if is_directory(moved.inode.mode) != is_directory(at.inode.mode):
        raise EINVAL("a directory and a file")
    check_may_move(mount, at)
    graft(task, mount, at)


def check_may_move(mount: Mount, at: CDentry) -> None:
    """EINVAL: out of a shared mount, or something unbindable into one, of which peers could have no copy; ELOOP."""
    parent = mount_of(at)
    if mount.sb.covered != ffi.NULL and mount_of(mount.sb.covered).group:
        raise EINVAL("out of a shared mount")
    tree = (mount, *parts_of(mount.sb.root))
    if parent.group and any(each.sb.flags & lib.SB_UNBINDABLE for each in tree):
        raise EINVAL("unbindable")
    if parent in tree:
        raise ELOOP("into itself")


def check_may_mount(task: Task) -> None:
    """EPERM without CAP_SYS_ADMIN."""
    if not is_capable(task.c.cred, CAP_SYS_ADMIN):
        raise EPERM("CAP_SYS_ADMIN")


def _mount_new(
    task: Task, source: bytes | None, at: CDentry, type_name: bytes | None, flags: int, options: bytes
) -> None:
    if type_name is None:
        raise EINVAL("no type")
    maker = makers.get(type_name)
    if maker is None:
        raise ENODEV(repr(type_name))
    made = maker(_sb_flags(flags), options)
    if is_directory(made.sb.root.inode.mode) != is_directory(at.inode.mode):
        raise ENOTDIR("a directory and a file")
    graft_new(task, attach_mount(made, None, (source or b"none").decode("utf-8", "surrogateescape")), at)


# ---- tmpfs --------------------------------------------------------------------------------------------------------


def _make_tmpfs(flags: int, options: bytes, type_name: str = "tmpfs") -> FileSystem:
    """tmpfs(5): size, nr_blocks, nr_inodes, mode, uid, gid; EINVAL for what would have no effect."""
    size, inodes, mode, uid, gid = 0, 0, 0o1777, 0, 0
    for option in options.split(b","):
        key, _, value = option.partition(b"=")
        if key == b"size":
            size = _bytes(value)
        elif key == b"nr_blocks":
            size = _bytes(value) * 4096
        elif key == b"nr_inodes":
            inodes = _bytes(value)
        elif key == b"mode":
            mode = _number(value, 8) & 0o7777
        elif key == b"uid":
            uid = _number(value, 10)
        elif key == b"gid":
            gid = _number(value, 10)
        elif key:
            raise EINVAL(repr(option))
    size = (size + 4095) & ~4095
    made = make_tree(flags, new_device(), type_name=type_name, size_bytes=size, mode=mode, inodes_max=inodes)
    made.sb.root.inode.uid, made.sb.root.inode.gid = uid, gid
    return made


def _make_ramfs(flags: int, options: bytes) -> FileSystem:
    """As tmpfs, without a limit; it ignores options that it does not know, and so do we."""
    key, _, value = options.partition(b"=")
    mode = _number(value.split(b",")[0], 8) if key == b"mode" else 0o755
    return make_tree(flags, new_device(), type_name="ramfs", mode=mode & 0o7777)


def _number(text: bytes, base: int) -> int:
    try:
        return int(text, base) & 0xFFFFFFFF
    except ValueError:
        raise EINVAL(repr(text)) from None


def _bytes(text: bytes) -> int:
    """A size as memparse() reads it."""
    shift = _SUFFIXES.get(text[-1:].lower(), 0)
    return _number(text[:-1] if shift else text, 10) << shift


makers[b"tmpfs"] = _make_tmpfs
makers[b"ramfs"] = _make_ramfs


# ---- unmounting ---------------------------------------------------------------------------------------------------


def unmount(task: Task, target: bytes, flags: int) -> None:
    """umount2(2): path_umount(), do_umount() in Linux."""
    if flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW):
        raise EINVAL("flags")
    at = resolve(task, AT_FDCWD, target, follow=not flags & UMOUNT_NOFOLLOW).require()
    check_may_mount(task)
    if at != at.sb.root:
        raise EINVAL("not the root of a mount")
    mount = mount_of(at)
    if mount.sb.covered == ffi.NULL:
        raise EINVAL("the first root") if flags & MNT_EXPIRE else EBUSY("the first root")
    if flags & MNT_EXPIRE:
        if flags & (MNT_FORCE | MNT_DETACH):
            raise EINVAL("MNT_EXPIRE")
        if _is_used(mount.sb):
            raise EBUSY("in use")
        if mount.identity not in _expiring:
            _expiring.add(mount.identity)
            raise EAGAIN("marked now, unmounted the next time")
    elif not flags & MNT_DETACH and _is_used(mount.sb):
        raise EBUSY("in use")
    leaving = [mount, *parts_of(at)] if flags & MNT_DETACH else [mount]
    echoed = echoes(task, leaving)
    if not flags & MNT_DETACH and any(_is_open(echo.sb) for echo in echoed):
        raise EBUSY("in use at a peer")
    for each in reversed([*leaving, *echoed]):
        _expiring.discard(each.identity)
        take_off(each)
        _leaving.append(each.file_system)
    release_unused()


def release_unused() -> None:
    """Gives up namespaces without tasks, and the content of file systems that were unmounted and are not in use."""
    mounts = all_mounts()
    opened = (c.dentry for c in _open_descriptions() if c.dentry != ffi.NULL)
    living = {first_root(place) for place in (mounts[0].sb.root, *_places(), *opened)}
    for mount in reversed(mounts):
        if first_root(mount.sb.root) not in living:
            drop_mount(mount)
            _leaving.append(mount.file_system)
    for file_system in list(_leaving):
        sb = file_system.sb
        if _is_open(sb) or _is_shown_elsewhere(sb):
            continue
        _leaving.remove(file_system)
        notify.on_unmount(sb)
        if isinstance(file_system, BindFileSystem):
            file_system.release()
        elif sb.kind == lib.FS_TREE:
            for child in children(sb.root):
                lib.dentry_drop(child)


def _is_used(sb: CSuperblock) -> bool:
    return _is_open(sb) or any(mount.sb.covered != ffi.NULL and mount.sb.covered.sb == sb for mount in all_mounts())


def _is_shown_elsewhere(sb: CSuperblock) -> bool:
    """True while a bind shows a part of it."""
    binds = [*(mount.file_system for mount in all_mounts()), *_leaving]
    return any(isinstance(bind, BindFileSystem) and bind.inner.sb == sb for bind in binds)


def _is_open(sb: CSuperblock) -> bool:
    """True if a task works in it, runs a program of it or has something of it open."""
    return any(place.sb == sb for place in _places()) or any(
        c.dentry != ffi.NULL and c.dentry.sb == sb for c in _open_descriptions()
    )


def _places() -> Iterator[CDentry]:
    """Working and root directories, and running programs."""
    task = lib.task_first()
    while task != ffi.NULL:
        for place in (task.fs.cwd, task.fs.root, task.group.exe) if task.fs != ffi.NULL else ():
            if place != ffi.NULL:
                yield place
        task = task.all_next


def is_written(sb: CSuperblock) -> bool:
    return any(
        c.kind == lib.DESC_FILE and c.open_flags & O_ACCMODE != O_RDONLY and c.dentry != ffi.NULL and c.dentry.sb == sb
        for c in _open_descriptions()
    )


def _open_descriptions() -> Iterator[CDescription]:
    task = lib.task_first()
    while task != ffi.NULL:
        table = task.files
        for fd in range(table.capacity if table != ffi.NULL else 0):
            if table.slots[fd].desc != ffi.NULL:
                yield table.slots[fd].desc
        task = task.all_next
