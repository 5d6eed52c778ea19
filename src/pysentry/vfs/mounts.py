"""Mounts: what is where in the sandbox's tree, and the table that /proc/mounts shows.

Owns how the tree is put together at boot (`build_root`) and the list of mounts. Each mount has its own superblock, so a
path is just a dentry: `dentry.mounted` leads down, `sb.covered` leads up.
"""

from __future__ import annotations

import os

from pysentry.abi.capability import CAP_FULL_SET
from pysentry.abi.errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, LinuxError
from pysentry.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, is_directory
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import add, dentry_name, new_inode, path_of, topmost
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.filesystems.bind import BindFileSystem
from pysentry.vfs.filesystems.dev import make_dev
from pysentry.vfs.filesystems.gofer import GoferFileSystem, make_bind
from pysentry.vfs.filesystems.mqueue import mqueue_file_system
from pysentry.vfs.filesystems.pts import make_pts
from pysentry.vfs.filesystems.tree import make_tree
from pysentry.vfs.lower import LowerTree, lower_path
from pysentry.vfs.walk import MAX_SYMLINKS, resolve_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gofer.client import GoferClient
    from pysentry.platform.cdefs import CCredentials, CDentry
    from pysentry.sandbox.config import RunConfig
    from pysentry.vfs.filesystem import FileSystem

    # Makes a file system of a device number: proc and sys.
    Maker = Callable[[int], FileSystem]

TREE_WRITABLE, TREE_IMMUTABLE, TREE_ONE_OWNER = 1, 2, 8  # gofer/protocol.h, enum gofer_tree_flags
# New files share st_dev with the lower root (find -xdev, df), so their numbers must stay clear of the host's.
FIRST_UPPER_INO = 1 << 40

FIRST_DEVICE_MINOR = 1 << 19
"""File systems of the sandbox's own; above what the host gives to its own, whose numbers its binds show."""
_last_device = FIRST_DEVICE_MINOR


class Mount:
    """One row of the mount table. group, master: of which peer group it is a member, of which a slave; 0: of none."""

    __slots__ = ("file_system", "group", "master", "sb", "source")

    def __init__(self, file_system: FileSystem, source: str) -> None:
        self.file_system = file_system
        self.sb = file_system.sb
        self.source = source
        self.group = 0
        self.master = 0

    @property
    def identity(self) -> int:
        """The mount id, as statx shows it."""
        return int(self.sb.id)

    @property
    def parent_identity(self) -> int:
        """Of the mount that it is mounted in; of the first root, and of what is in no tree, its own."""
        return int(self.sb.covered.sb.id) if self.sb.covered != ffi.NULL else self.identity

    def mountpoint_below(self, root: CDentry) -> bytes | None:
        """Where a task with this root sees it. None: nowhere."""
        path = path_of(self.sb.root, root)
        return path if path[:1] == b"/" else None

    @property
    def root(self) -> bytes:
        """The part of the file system that is mounted, as /proc/self/mountinfo shows it: of a bind of the host's, the
        path that it has there."""
        if not isinstance(self.file_system, BindFileSystem):
            return _root_in_file_system(self.file_system)
        source = self.file_system.source_of(self.sb.root)
        inside = path_of(source, source.sb.root)
        return (_root_in_file_system(filesystem_of(source.sb)).rstrip(b"/") + inside).rstrip(b"/") or b"/"

    @property
    def options(self) -> list[str]:
        """Per-mount options."""
        flags = self.sb.flags
        options = ["ro" if flags & lib.SB_RDONLY else "rw"]
        options += [word for flag, word in _OPTION_WORDS if flags & flag]
        return options if flags & lib.SB_NOATIME else [*options, "relatime"]


_OPTION_WORDS = (
    (lib.SB_NOSUID, "nosuid"),
    (lib.SB_NODEV, "nodev"),
    (lib.SB_NOEXEC, "noexec"),
    (lib.SB_NOATIME, "noatime"),
    (lib.SB_NODIRATIME, "nodiratime"),
    (lib.SB_NOSYMFOLLOW, "nosymfollow"),
)
SETTABLE = lib.SB_RDONLY | sum(flag for flag, _ in _OPTION_WORDS)
"""SB_* that a mount says of itself."""


def _root_in_file_system(file_system: FileSystem) -> bytes:
    if isinstance(file_system, GoferFileSystem):
        return file_system.origin
    sb = file_system.sb
    return b"/" + lower_path(sb.root) if sb.tree >= 0 else b"/"


_mounts: list[Mount] = []
on_table_changed: list[Callable[[CDentry], None]] = []
"""Told the first root of a namespace whose mounts have changed."""


def tell_of_change(mount: Mount) -> None:
    """What the mount table says about it is another than before."""
    if on_table_changed:
        root = first_root(mount.sb.root)
        for told in on_table_changed:
            told(root)


def all_mounts() -> list[Mount]:
    """The mounts of all namespaces, in the order they were made."""
    return list(_mounts)


def first_root(place: CDentry) -> CDentry:
    """The root of the namespace that a place is in: the one mount that covers nothing."""
    while place.sb.covered != ffi.NULL:
        place = place.sb.covered
    return place.sb.root


def mount_table(place: CDentry) -> list[Mount]:
    """The mounts of the namespace that a place is in, in the order they were made."""
    root = first_root(place)
    return [mount for mount in _mounts if first_root(mount.sb.root) == root]


def mount_of(dentry: CDentry) -> Mount:
    """The mount that a dentry is in. EINVAL: it was taken out of the tree (MNT_DETACH) and is still in use."""
    for mount in _mounts:
        if mount.sb == dentry.sb:
            return mount
    raise EINVAL("detached")


def is_at_or_below(mount: Mount, ancestor: CDentry) -> bool:
    """True for what is mounted somewhere below a dentry."""
    place = mount.sb.covered
    while place != ffi.NULL:
        if place == ancestor:
            return True
        place = place.parent if place.parent != place else place.sb.covered
    return False


def detach_mount(mount: Mount) -> None:
    """Takes a mount out of the tree; what is open in it stays."""
    covered = mount.sb.covered
    tell_of_change(mount)
    _mounts.remove(mount)
    if covered != ffi.NULL:
        covered.mounted = ffi.NULL
        mount.sb.covered = ffi.NULL
        lib.dentry_unref(covered)


def new_device() -> int:
    """st_dev of a file system without a host device."""
    global _last_device
    _last_device += 1
    return os.makedev(0, _last_device)


def put_mount(mount: Mount, at: CDentry | None) -> None:
    """Puts a mount that is not in the table on a dentry, or on what is mounted there; None: it is a first root."""
    lib.mount_attach(ffi.NULL if at is None else at, mount.sb)
    _mounts.append(mount)
    tell_of_change(mount)


def move_mount(mount: Mount, at: CDentry) -> None:
    """With what is mounted below it, also out of no tree."""
    detach_mount(mount)
    put_mount(mount, at)


def attach_mount(file_system: FileSystem, at: CDentry | None, source: str) -> Mount:
    """Mounts a file system on a dentry (None: it is a first root)."""
    mount = Mount(file_system, source)
    put_mount(mount, at)
    return mount


def add_here(directory: CDentry, name: bytes, mode: int) -> CDentry:
    """An entry that exists in the sandbox only, also in a directory of the host's."""
    inode = new_inode(directory.sb, mode)
    inode.ino = FIRST_UPPER_INO + inode.id
    inode.flags |= lib.INODE_UPPER
    if is_directory(mode):
        inode.flags |= lib.INODE_COMPLETE
    made = add(directory, name, inode)
    made.flags |= lib.DENTRY_PINNED
    return made


def boot_credentials() -> CCredentials:
    """Credentials of the sentry's own walks: everything is allowed."""
    cred: CCredentials = ffi.new("struct credentials *")
    cred.refs = 1
    cred.cap_effective = cred.cap_permitted = CAP_FULL_SET
    return cred


class MountError(Exception):
    """A mount of the configuration cannot be made; the message says which and why."""


class RootBuilder:
    """Puts the sandbox's tree together. `makes_on_host`: mount points that a writable tree of the host lacks are made
    there, as container engines expect it; else in the sandbox only."""

    def __init__(self, client: GoferClient, tree_flags: list[int], makes_on_host: bool = False) -> None:
        self.makes_on_host = makes_on_host
        self.client = client
        self.tree_flags = tree_flags
        self.cred = boot_credentials()
        self.root: CDentry = ffi.NULL

    def mount_root(self, source: str) -> None:
        lower = LowerTree(self.client, 0)
        overlay = make_tree(lib.SB_CACHED, 0, lower)
        overlay.sb.dev = overlay.sb.root.inode.dev
        overlay.sb.next_ino = FIRST_UPPER_INO
        self.root = attach_mount(overlay, None, source).sb.root

    def mount(self, file_system: FileSystem, path: bytes, source: str) -> CDentry:
        """Mounts at a path, which is made (in memory) if it is not there. MountError."""
        try:
            at = self.mount_point(path, is_directory(file_system.sb.root.inode.mode))
        except LinuxError as error:
            what = os.fsdecode(file_system.origin) if isinstance(file_system, GoferFileSystem) else source
            raise MountError(f"cannot mount {what} at {os.fsdecode(path)}: {error}") from None
        return attach_mount(file_system, at, source).sb.root

    def find(self, path: bytes) -> CDentry | None:
        """What a path names now, symlinks followed."""
        try:
            return resolve_from(None, self.cred, self.root, self.root, path)
        except LinuxError:
            return None

    def mount_point(self, path: bytes, wants_directory: bool) -> CDentry:
        """The dentry to mount on, made if it is not there; symlinks are followed inside the root, also to places that
        do not exist yet (an image's /etc/resolv.conf). ENOTDIR, EISDIR: something of the other kind is there; ELOOP."""
        current = topmost(self.root)
        pending = [part for part in reversed(path.split(b"/")) if part]
        links = 0
        while pending:
            name = pending.pop()
            if name == b".":
                continue
            if name == b"..":
                current = self._above(current)
                continue
            if not is_directory(current.inode.mode):
                raise ENOTDIR(f"{os.fsdecode(dentry_name(current))} is not a directory")
            file_system = filesystem_of(current.sb)
            entry = file_system.lookup(None, current, name)
            if entry is None:
                entry = self._make(current, name, wants_directory or bool(pending))
            elif entry.mounted == ffi.NULL and entry.inode.mode & S_IFMT == S_IFLNK:
                links += 1
                if links > MAX_SYMLINKS:
                    raise ELOOP(os.fsdecode(name))
                target = file_system.readlink(None, entry.inode)
                pending.extend(part for part in reversed(target.split(b"/")) if part)
                if target[:1] == b"/":
                    current = topmost(self.root)
                continue
            current = topmost(entry)
        if wants_directory and not is_directory(current.inode.mode):
            raise ENOTDIR("a directory cannot be mounted on a file")
        if not wants_directory and is_directory(current.inode.mode):
            raise EISDIR("a file cannot be mounted on a directory")
        return current

    def _above(self, directory: CDentry) -> CDentry:
        """"..", which ends at the root."""
        while directory.parent == directory and directory.sb.covered != ffi.NULL:
            directory = directory.sb.covered
        return topmost(directory.parent)

    def _make(self, directory: CDentry, name: bytes, wants_directory: bool) -> CDentry:
        mode = S_IFDIR | 0o755 if wants_directory else S_IFREG | 0o644
        file_system = filesystem_of(directory.sb)
        make = file_system.mkdir if wants_directory else file_system.create
        if directory.sb.kind == lib.FS_TREE:
            return make(directory, name, mode, 0, 0)
        if self.makes_on_host and directory.sb.kind == lib.FS_GOFER and not directory.inode.flags & lib.INODE_UPPER:
            try:
                return make(directory, name, mode, 0, 0)
            except LinuxError:
                pass  # a read-only tree, or one that this user may not change
        elif directory.sb.kind not in (lib.FS_TREE, lib.FS_GOFER):
            raise ENOENT(f"{os.fsdecode(name)}: nothing can be made in {file_system.type_name}")
        return add_here(directory, name, mode)

    def mount_bind(self, number: int, source: str, path: bytes, is_read_only: bool) -> None:
        flags = lib.SB_NOSUID | lib.SB_NODEV
        if is_read_only or not self.tree_flags[number] & TREE_WRITABLE:
            flags |= lib.SB_RDONLY
        if self.tree_flags[number] & TREE_IMMUTABLE:
            flags |= lib.SB_CACHED
        self.mount(self.bind(flags, number, source), path, GoferFileSystem.type_name)

    def bind(
        self, flags: int, number: int, origin: str = "/", type_name: str = GoferFileSystem.type_name
    ) -> GoferFileSystem:
        """A file system over one of the gofer's trees. origin: the path on the host, as mountinfo shows it."""
        made = make_bind(flags, LowerTree(self.client, number), type_name)
        made.keeps_owners = bool(self.tree_flags[number] & TREE_ONE_OWNER)
        made.origin = os.fsencode(origin)
        return made

    def mount_tmp(self, cwd: bytes) -> None:
        """A fresh /tmp: the host's is other people's. A working directory below it is shown through an overlay."""
        if cwd == b"/tmp" or self.find(b"/tmp") is None:
            return
        shown = None
        lower = self.find(cwd) if cwd.startswith(b"/tmp/") else None
        if lower is not None and is_directory(lower.inode.mode):
            place = lower_path(lower)
            shown = make_tree(lib.SB_CACHED | lib.SB_NODEV, 0, LowerTree(self.client, 0), root_path=place)
            shown.sb.dev = shown.sb.root.inode.dev
            shown.sb.next_ino = FIRST_UPPER_INO + (1 << 36)
        tmp = make_tree(lib.SB_NODEV, new_device(), mode=0o1777)
        self.mount(tmp, b"/tmp", "tmpfs")
        if shown is not None:
            self.mount(shown, cwd, "overlay")


def build_root(
    config: RunConfig,
    client: GoferClient,
    tree_flags: list[int],
    host_devices: dict[bytes, int],
    make_proc: Maker | None = None,
    make_sys: Maker | None = None,
) -> CDentry:
    """The sandbox's tree as a RunConfig wants it. Returns the root dentry.

    tree_flags: the gofer's answer to HELLO; tree 0 is the root, 1.. are config.binds in order
    host_devices: descriptors of null, zero, full, random, urandom by name
    make_proc, make_sys: called with a device number; None: nothing is mounted there
    Raises MountError where a mount point cannot be had.
    """
    if config.container is not None or config.mounts:
        from pysentry.vfs.container_root import build_container_root

        return build_container_root(config, client, tree_flags, host_devices, make_proc, make_sys)
    builder = RootBuilder(client, tree_flags)
    builder.mount_root("overlay")
    binds = [
        (os.fsencode(target), number, os.fsdecode(source), is_read_only)
        for number, (source, target, is_read_only) in enumerate(config.binds, start=1)
    ]
    asked = {target for target, *_ in binds} | {os.fsencode(path) for path in config.tmpfs}
    if config.rootfs == "/" and b"/tmp" not in asked:
        builder.mount_tmp(os.fsencode(config.cwd))
    if make_proc is not None:
        builder.mount(make_proc(new_device()), b"/proc", "proc")
    if make_sys is not None:
        builder.mount(make_sys(new_device()), b"/sys", "sysfs")
    builder.mount(make_dev(new_device(), host_devices), b"/dev", "dev")
    builder.mount(make_pts(new_device()), b"/dev/pts", "devpts")
    builder.mount(mqueue_file_system(), b"/dev/mqueue", "mqueue")
    builder.mount(make_tree(lib.SB_NOSUID | lib.SB_NODEV, new_device(), mode=0o1777), b"/dev/shm", "shm")
    wanted: list[tuple[bytes, int, str, bool]] = [
        *binds, *((os.fsencode(path), -1, "tmpfs", False) for path in config.tmpfs)
    ]  # fmt: skip
    for path, number, source, is_read_only in sorted(wanted, key=lambda row: row[0].count(b"/")):
        if number < 0:
            tree = make_tree(lib.SB_NOSUID | lib.SB_NODEV, new_device(), mode=0o1777)
            builder.mount(tree, path, source)
        else:
            builder.mount_bind(number, source, path, is_read_only)
    return builder.root


def working_directory(root: CDentry, path: bytes) -> CDentry:
    """The directory a run starts in. ENOENT, ENOTDIR."""
    found = resolve_from(None, boot_credentials(), root, root, path)
    if not is_directory(found.inode.mode):
        raise ENOTDIR(repr(path))
    if found.flags & lib.DENTRY_UNHASHED:
        raise ENOENT(repr(path))
    return found
