"""The tree of a container: its root file system in place, config.mounts in their order, then what the runtime spec
adds: devices, read-only and masked paths.

Owns the order and what each kind of mount becomes. How the tree is built is mounts.py's. Mount points are looked up
inside the root, following symlinks there; what is missing is made, on the host where the root is writable. Trees of the
gofer are counted as sandbox/container_trees.py lists them.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import LinuxError
from pysentry.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, is_directory, is_regular
from pysentry.kernel.host import detached_tmpfs
from pysentry.platform.native import ffi, lib
from pysentry.vfs import devices
from pysentry.vfs.copy_up import copy_content
from pysentry.vfs.dentry import attachment, topmost
from pysentry.vfs.filesystem import content_fd, filesystem_of
from pysentry.vfs.filesystems.bind import make_bind_of
from pysentry.vfs.filesystems.dev import TTY_GROUP, register_devices
from pysentry.vfs.filesystems.gofer import GoferFileSystem
from pysentry.vfs.filesystems.mqueue import mqueue_file_system
from pysentry.vfs.filesystems.proc_cgroup import show_hierarchies
from pysentry.vfs.filesystems.proc_ids import show_id_map
from pysentry.vfs.filesystems.proc_sys import make_sys_directory
from pysentry.vfs.filesystems.proc_sysctl import SettingError, give_settings
from pysentry.vfs.filesystems.pts import make_pts
from pysentry.vfs.filesystems.tree import TreeFileSystem, make_tree
from pysentry.vfs.lower import LowerTree
from pysentry.vfs.mount_options import MountOptionError, number, octal, size, superblock_flags
from pysentry.vfs.mounts import (
    FIRST_UPPER_INO,
    TREE_WRITABLE,
    Mount,
    MountError,
    RootBuilder,
    add_here,
    attach_mount,
    mount_of,
    new_device,
)
from pysentry.vfs.propagation import PROPAGATIONS, change, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.client import GoferClient
    from pysentry.platform.cdefs import CDentry
    from pysentry.sandbox.config import MountRow, RunConfig
    from pysentry.vfs.filesystem import FileSystem
    from pysentry.vfs.filesystems.generated import Directory
    from pysentry.vfs.mounts import Maker

ROOT_LEASE_NS = 1_000_000_000
"""How soon what the host does in a container's root (`podman cp`) is seen. Volumes are asked each time: two containers
may talk through one."""
_NODES = {
    b"null": devices.NULL,
    b"zero": devices.ZERO,
    b"full": devices.FULL,
    b"random": devices.RANDOM,
    b"urandom": devices.URANDOM,
    b"tty": devices.TTY,
}
_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
    b"ptmx": b"pts/ptmx",
}
_TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
_ALWAYS = lib.SB_NOSUID | lib.SB_NODEV | lib.SB_NOEXEC


def build_container_root(
    config: RunConfig,
    client: GoferClient,
    tree_flags: list[int],
    host_devices: dict[bytes, int],
    make_proc: Maker | None,
    make_sys: Maker | None,
) -> CDentry:
    """As mounts.build_root(), for a container. MountError: "error mounting ...", as runc says it."""
    builder = ContainerBuilder(config, client, tree_flags)
    if make_proc is not None and make_sys is not None:
        builder.makers = {"proc": make_proc, "sysfs": make_sys}
    show_id_map("uid", config.uid_map)
    show_id_map("gid", config.gid_map)
    if config.sysctl:
        builder.give_settings()
    builder.mount_container_root()
    for row in config.mounts:
        builder.mount_row(row)
    register_devices(host_devices)
    builder.make_devices()
    if config.process is not None:
        builder.make_directory(config.process.cwd)
    for path in config.readonly_paths:
        builder.make_read_only(os.fsencode(path))
    for path in config.masked_paths:
        builder.mask(os.fsencode(path))
    builder.set_propagation()  # last: until then mounts are bound
    return builder.root


class ContainerBuilder(RootBuilder):
    """Puts a container's tree together."""

    def __init__(self, config: RunConfig, client: GoferClient, tree_flags: list[int]) -> None:
        super().__init__(client, tree_flags, makes_on_host=True)
        self.config = config
        self.next_tree = 1
        self.makers: dict[str, Maker] = {}
        self.propagations: list[tuple[Mount, str]] = []

    def mount_container_root(self) -> None:
        config = self.config
        flags = 0 if config.root_writable else lib.SB_RDONLY
        if config.overlay:
            overlay = make_tree(flags | lib.SB_CACHED, 0, LowerTree(self.client, 0))
            overlay.sb.dev = overlay.sb.root.inode.dev
            overlay.sb.next_ino = FIRST_UPPER_INO
            self.root = attach_mount(overlay, None, "overlay").sb.root
        else:
            root = self.bind(flags, 0)
            root.sb.lease_ns = ROOT_LEASE_NS
            self.root = attach_mount(root, None, "root").sb.root

    def set_propagation(self) -> None:
        """Of single mounts, then of the root. Between mounts of the sandbox: the host's are no peers of ours."""
        if self.config.propagation:
            self.propagations.append((mount_of(self.root), self.config.propagation))
        for mount, word in self.propagations:
            for each in (mount, *parts_of(mount.sb.root)) if word.startswith("r") else (mount,):
                change(each, word.removeprefix("r"))

    def give_settings(self) -> None:
        """Also where no /proc is mounted: limits and names take effect all the same."""
        if self.config.sysctl:
            self._give_settings(make_sys_directory())

    # ---- rows ----

    def mount_row(self, row: MountRow) -> None:
        flags = superblock_flags(row)
        try:
            match row.kind:
                case "bind":
                    self._bind(row, flags)
                case "cgroup":
                    self._cgroup(row, flags)
                case "proc" | "sysfs":
                    self._require_ordinary(row)
                    if row.kind in self.makers:
                        made = self.makers[row.kind](new_device())
                        made.sb.flags |= flags
                        if row.kind == "proc" and self.config.sysctl:  # its content is made when it is looked at
                            self._give_settings(attachment(made.sb.root.inode, "node").lookup(None, b"sys"))
                        self._mount(made, row, row.kind)
                case "devpts":
                    mode, ptmx_mode = octal(row, "mode", 0o600), octal(row, "ptmxmode", 0)
                    pts = make_pts(new_device(), mode, number(row, "gid", -1), ptmx_mode)
                    pts.sb.flags |= flags
                    self._mount(pts, row, "devpts")
                case "mqueue":
                    queues = mqueue_file_system()
                    if queues.sb.covered != ffi.NULL:
                        raise MountOptionError("mqueue is mounted already")
                    queues.sb.flags |= flags
                    self._mount(queues, row, "mqueue")
                case "tmpfs" | "shm" | "dev":
                    self._tmpfs(row, flags)
                case _:
                    raise MountOptionError(f"unknown type {row.kind}")
        except (MountOptionError, LinuxError) as error:
            source = row.source or row.kind
            raise MountError(f'error mounting "{source}" to rootfs at "{row.target}": {error}') from None

    def _give_settings(self, directory: Directory) -> None:
        try:
            give_settings(directory, self.config.sysctl)
        except SettingError as error:
            raise MountError(str(error)) from None

    def _require_ordinary(self, row: MountRow) -> None:
        """Where an image has a symlink for /proc or /sys somebody is to be led elsewhere: MountOptionError, as runc."""
        parent, _, name = os.fsencode(row.target).rpartition(b"/")
        directory = self.find(parent or b"/")
        if directory is None or not is_directory(directory.inode.mode):
            return
        entry = filesystem_of(directory.sb).lookup(None, directory, name)
        if entry is not None and not is_directory(topmost(entry).inode.mode):
            raise MountOptionError(f'filesystem "{row.kind}" must be mounted on ordinary directory')

    def _mount(self, file_system: FileSystem, row: MountRow, source: str) -> CDentry:
        at = self.mount_point(os.fsencode(row.target), is_directory(file_system.sb.root.inode.mode))
        mount = attach_mount(file_system, at, source)
        self.propagations += [(mount, word) for word in row.words if word.removeprefix("r") in PROPAGATIONS]
        return mount.sb.root

    def _bind(self, row: MountRow, flags: int) -> None:
        tree = self.next_tree
        self.next_tree += 1
        if not self.tree_flags[tree] & TREE_WRITABLE:
            flags |= lib.SB_RDONLY
        top = self._mount(self.bind(flags, tree, row.source or "/"), row, GoferFileSystem.type_name)
        for path in row.writable_below if self.tree_flags[tree] & TREE_WRITABLE else ():
            self._make_writable(top, os.fsencode(row.target) + b"/" + path)

    def _make_writable(self, top: CDentry, path: bytes) -> None:
        """The host's mount at a path of a read-only bind, with flags of its own. That it is one, and not a place of the
        bind itself, nobody needs to believe: the host's kernel knows which of its mounts are read-only."""
        found = self.find(path)
        if found is not None and found.sb.tree == top.sb.tree:
            shown = make_bind_of(found, found.sb.flags & ~lib.SB_RDONLY)
            shown.sb.dev = found.inode.dev
            attach_mount(shown, found, shown.type_name)

    def _tmpfs(self, row: MountRow, flags: int) -> None:
        covered = self.find(os.fsencode(row.target))
        default_mode = 0o755 if row.kind == "dev" else 0o1777
        if covered is not None:  # as runc: what it is mounted on says how it is to be
            default_mode = covered.inode.mode & 0o7777
        limit = size(row)
        tree = make_tree(
            flags & ~lib.SB_RDONLY,
            new_device(),
            size_bytes=limit,
            mode=octal(row, "mode", default_mode),
            owner=(number(row, "uid"), number(row, "gid")),
            inodes_max=number(row, "nr_inodes"),
            store=detached_tmpfs(limit) if limit else -1,
        )
        self._mount(tree, row, "shm" if row.kind == "shm" else "tmpfs")
        if covered is not None and "tmpcopyup" in row.words and is_directory(covered.inode.mode):
            _copy_tree(covered, tree, tree.sb.root)
        tree.sb.flags |= flags & lib.SB_RDONLY

    def _cgroup(self, row: MountRow, flags: int) -> None:
        """A view of the container's own cgroup: a directory for each hierarchy (v1), or the one of v2. Read-only."""
        flags |= _ALWAYS | lib.SB_RDONLY
        directories = self.config.container.cgroup if self.config.container is not None else []
        show_hierarchies([",".join(one.controllers) for one in directories])
        binds = []
        for one in directories:
            binds.append(self.bind(flags, self.next_tree, type_name="cgroup" if one.name else "cgroup2"))
            self.next_tree += 1
        if [one.name for one in directories] == [""]:
            self._mount(binds[0], row, "cgroup2")
            return
        tree = make_tree(flags & ~lib.SB_RDONLY, new_device(), mode=0o755)
        self._mount(tree, row, "cgroup")
        for one, bind in zip(directories, binds, strict=True):
            name = os.fsencode(one.name)
            attach_mount(bind, tree.mkdir(tree.sb.root, name, S_IFDIR | 0o555, 0, 0), "cgroup")
            for link in one.links:
                tree.symlink(tree.sb.root, os.fsencode(link), name, 0, 0)
        tree.sb.flags |= lib.SB_RDONLY

    def make_directory(self, path: str) -> None:
        """The first program's working directory, made as runc does if it is missing; else chdir says why."""
        try:
            self.mount_point(os.fsencode(path), True)
        except LinuxError:
            pass

    # ---- devices ----

    def make_devices(self) -> None:
        """Nodes that every container has, then those of its configuration; links of /dev."""
        if self._is_bind(b"/dev"):
            return  # the host's own /dev: its nodes are opened by number, too
        for name, numbers in _NODES.items():
            self._node(b"/dev/" + name, S_IFCHR | 0o666, os.makedev(*numbers), 0, TTY_GROUP if name == b"tty" else 0)
        process = self.config.process
        if process is not None and process.terminal:
            self._node(b"/dev/console", S_IFCHR | 0o620, os.makedev(*devices.CONSOLE), 0, TTY_GROUP)
        for path, kind, major, minor, mode, uid, gid in self.config.devices:
            self._node(os.fsencode(path), _TYPES[kind] | mode & 0o7777, os.makedev(major, minor), uid, gid)
        directory = self.find(b"/dev")
        if directory is not None and is_directory(directory.inode.mode):
            for name, target in _LINKS.items():
                if filesystem_of(directory.sb).lookup(None, directory, name) is None:
                    link = add_here(directory, name, S_IFLNK | 0o777)
                    lib.inode_set_symlink(link.inode, target)

    def _is_bind(self, path: bytes) -> bool:
        return any(row.kind == "bind" and os.fsencode(row.target) == path for row in self.config.mounts)

    def _node(self, path: bytes, mode: int, rdev: int, uid: int, gid: int) -> None:
        """A node of the sandbox only: it stands over whatever the root has of that name."""
        parent, _, name = path.rpartition(b"/")
        try:
            directory = self.mount_point(parent or b"/", True)
        except LinuxError as error:
            raise MountError(f"error creating device node {os.fsdecode(path)}: {error}") from None
        found = filesystem_of(directory.sb).lookup(None, directory, name)
        if found is not None and found.mounted != ffi.NULL:
            return
        made = add_here(directory, name, mode)
        made.inode.rdev, made.inode.uid, made.inode.gid = rdev, uid, gid
        if mode & S_IFMT == S_IFCHR:
            devices.connect(made.inode)

    # ---- read-only and masked paths ----

    def make_read_only(self, path: bytes) -> None:
        """As a read-only bind of the path onto itself. Missing paths are none to protect."""
        found = self.find(path)
        if found is not None and not found.sb.flags & lib.SB_RDONLY:
            name = filesystem_of(found.sb).type_name
            attach_mount(make_bind_of(found, found.sb.flags | lib.SB_RDONLY), found, name)

    def mask(self, path: bytes) -> None:
        """An empty read-only directory over a directory, an empty file over anything else."""
        found = self.find(path)
        if found is None:
            return
        flags = lib.SB_RDONLY | _ALWAYS
        if is_directory(found.inode.mode):
            attach_mount(make_tree(flags, new_device(), mode=0o755), found, "tmpfs")
        else:
            attach_mount(make_tree(flags, new_device(), mode=0o444, root_type=S_IFREG), found, "tmpfs")


def _copy_tree(source: CDentry, tree: TreeFileSystem, into: CDentry) -> None:
    """Directories, files, symlinks and nodes below one directory, with owners and modes; not what is mounted below."""
    file_system = filesystem_of(source.sb)
    for name, _, _ in file_system.readdir(None, source):
        entry = file_system.lookup(None, source, name)
        if entry is None:
            continue
        inode = entry.inode
        mode, uid, gid = inode.mode, inode.uid, inode.gid
        if is_directory(mode):
            _copy_tree(entry, tree, tree.mkdir(into, name, mode, uid, gid))
        elif mode & S_IFMT == S_IFLNK:
            tree.symlink(into, name, file_system.readlink(None, inode), uid, gid)
        elif is_regular(mode):
            _copy_file(entry, tree.create(into, name, mode, uid, gid))
        else:
            tree.mknod(into, name, mode, uid, gid, inode.rdev)


def _copy_file(source: CDentry, made: CDentry) -> None:
    file_system = filesystem_of(source.sb)
    lower: LowerTree | None = None
    if not source.inode.flags & lib.INODE_UPPER:
        lower = file_system.tree if isinstance(file_system, GoferFileSystem) else getattr(file_system, "lower", None)
    source_fd = os.dup(content_fd(source.inode)) if lower is None else lower.open(source, os.O_RDONLY)
    try:
        copy_content(source_fd, content_fd(made.inode), None)
    finally:
        os.close(source_fd)
