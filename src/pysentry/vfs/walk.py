"""The path walk: from a path of the workload to the dentry it names.

Owns what path_resolution(7) and openat2(2) say: starting points, symlinks, "..", mounts, search permission, RESOLVE_*.
Does not own what a call then does with the place. native/vfs/walk.c does the same for the fast paths.

`resolve` follows the last component; `resolve_parent` stops before it, for calls that make or take away a name.
Which error wins (as Linux): ENAMETOOLONG and ENOENT of the path string, then EBADF of the descriptor, then per
component ENOTDIR, EACCES, ENAMETOOLONG, ENOENT.
"""

from __future__ import annotations

from pysentry.abi.errno import EACCES, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EXDEV
from pysentry.abi.fcntl import (
    AT_FDCWD,
    NAME_MAX,
    PATH_MAX,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from pysentry.abi.stat import S_IFDIR, S_IFLNK, S_IFMT
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import topmost
from pysentry.vfs.filesystem import filesystem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CCredentials, CDentry, CDescription

MAX_SYMLINKS = 40
SPECIAL_NAMES = (b"", b".", b"..")  # last components that name no entry; b"": the path was only slashes
_DESCRIPTION_POINTER = ffi.typeof("struct description *")


class Walk:
    """Where a path leads. `dentry` is None if the last component does not exist; then `parent` and `name` say where it
    would be. A magic link to an anonymous file (a pipe in /proc/self/fd) gives `description` instead."""

    __slots__ = ("dentry", "description", "has_trailing_slash", "name", "parent")

    def __init__(self, parent: CDentry, name: bytes, dentry: CDentry | None, has_trailing_slash: bool) -> None:
        self.parent = parent
        self.name = name
        self.dentry = dentry
        self.has_trailing_slash = has_trailing_slash
        self.description: CDescription | None = None

    def require(self) -> CDentry:
        """The dentry, or ENOENT; ENXIO-like places without one are ENOENT too (see `description`)."""
        if self.dentry is None:
            raise ENOENT(repr(self.name))
        return self.dentry


def resolve(
    task: Task,
    dirfd: int,
    path: bytes,
    follow: bool = True,
    empty_ok: bool = False,
    resolve_flags: int = 0,
    cred: CCredentials | None = None,
    creates: bool = False,
) -> Walk:
    """Walks a path from the working directory, a directory descriptor or the root.

    task: who asks; its root and credentials apply (access(2) passes others)
    dirfd: AT_FDCWD or a descriptor number, for relative paths
    follow: follow a symlink in the last component (one with a trailing slash is always followed)
    empty_ok: AT_EMPTY_PATH: "" names what `dirfd` is; its description is in the result
    creates: O_CREAT: EISDIR where a slash follows the last component, of the path or of a symlink's target
    Raises ENOENT for a missing directory on the way, not for a missing last component.
    """
    _check_path(path, empty_ok)
    start, description = _start(task, dirfd, path, resolve_flags)
    if not path:
        walk = Walk(start, b"", start, False) if start is not None else Walk(ffi.NULL, b"", None, False)
        walk.description = description
        return walk
    assert start is not None
    return _Walker(task, cred or task.c.cred, start, resolve_flags).walk(path, follow, creates=creates)


def resolve_parent(task: Task, dirfd: int, path: bytes) -> Walk:
    """Walks to the directory that holds the last component, which is not looked up: `lookup_last` does."""
    _check_path(path, False)
    start, _ = _start(task, dirfd, path, 0)
    assert start is not None
    return _Walker(task, task.c.cred, start, 0).walk(path, False, stops_before_last=True)


def resolve_from(task: Task | None, cred: CCredentials, root: CDentry, start: CDentry, path: bytes) -> CDentry:
    """Walks a path of our own (boot, loader) without a task's descriptors. ENOENT if it is not there."""
    _check_path(path, False)
    if path[:1] == b"/":
        start = topmost(root)
    return _Walker(task, cred, start, 0, root).walk(path, True).require()


def lookup_last(task: Task, walk: Walk) -> CDentry | None:
    """The last component of a `resolve_parent`, not followed and without what is mounted on it; None: not there."""
    if walk.parent.flags & lib.DENTRY_UNHASHED:
        return None
    if len(walk.name) > NAME_MAX:
        raise ENAMETOOLONG("component")
    walk.dentry = filesystem_of(walk.parent.sb).lookup(task, walk.parent, walk.name)
    return walk.dentry


def is_directory_dentry(dentry: CDentry) -> bool:
    """True if a dentry names a directory."""
    return dentry.inode != ffi.NULL and dentry.inode.mode & S_IFMT == S_IFDIR


def _check_path(path: bytes, empty_ok: bool) -> None:
    if len(path) >= PATH_MAX:
        raise ENAMETOOLONG("path")
    if not path and not empty_ok:
        raise ENOENT("empty path")


def _start(
    task: Task, dirfd: int, path: bytes, resolve_flags: int
) -> tuple[CDentry | None, CDescription | None]:
    """Where a walk begins, and the description if that came from a descriptor."""
    fs = task.c.fs
    if path[:1] == b"/" and not resolve_flags & RESOLVE_IN_ROOT:
        if resolve_flags & RESOLVE_BENEATH:
            raise EXDEV("absolute path")
        return topmost(fs.root), None
    if dirfd == AT_FDCWD:
        return fs.cwd, None
    description = task.fd_table.get(dirfd)
    dentry = description.dentry
    if not path:
        return (dentry if dentry != ffi.NULL else None), description
    if dentry == ffi.NULL or not is_directory_dentry(dentry):
        raise ENOTDIR("descriptor is not a directory")
    return dentry, description


class _Walker:
    """One walk. `current` is always a directory, or the walk ends with ENOTDIR."""

    __slots__ = ("cred", "links", "resolve_flags", "root", "start", "task")

    def __init__(
        self,
        task: Task | None,
        cred: CCredentials,
        start: CDentry,
        resolve_flags: int,
        root: CDentry | None = None,
    ) -> None:
        self.task = task
        self.cred = cred
        self.start = start
        self.resolve_flags = resolve_flags
        if resolve_flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
            root = start
        elif root is None:
            assert task is not None
            root = topmost(task.c.fs.root)
        self.root = root
        self.links = 0

    def walk(self, path: bytes, follow: bool, stops_before_last: bool = False, creates: bool = False) -> Walk:
        current = self.start
        has_slash = path.endswith(b"/")
        pending = [part for part in path.split(b"/") if part]
        pending.reverse()
        parent, name = current, b""
        while pending:
            if not is_directory_dentry(current):
                raise ENOTDIR(repr(name))
            if lib.inode_permission(self.cred, current.inode, 1) < 0:
                raise EACCES("search")
            parent, name = current, pending.pop()
            if not pending and stops_before_last:
                return Walk(parent, name, None, has_slash)
            if name == b".":
                continue
            if name == b"..":
                current = self._dotdot(current)
                continue
            if creates and has_slash and not pending:
                raise EISDIR("O_CREAT with a trailing slash")
            entry = self._lookup(current, name)
            if entry is None:
                if pending:
                    raise ENOENT(repr(name))
                return Walk(parent, name, None, has_slash)
            if entry.inode.mode & S_IFMT == S_IFLNK and (pending or follow or has_slash):
                target = self._follow(entry)
                if isinstance(target, bytes):
                    if not pending:
                        has_slash = has_slash or target.endswith(b"/")
                    if target[:1] == b"/":
                        current = parent = self._jump_to_root(parent)
                        name = b""
                    pending.extend(part for part in reversed(target.split(b"/")) if part)
                    continue
                place, description = target
                if place is None:
                    if pending or has_slash:
                        raise ENOTDIR("an anonymous file")
                    walk = Walk(parent, name, None, False)
                    walk.description = description
                    return walk
                current = place
                continue
            current = entry
        if has_slash and not is_directory_dentry(current):
            raise ENOTDIR(repr(name))
        return Walk(parent, name, current, has_slash)

    def _lookup(self, directory: CDentry, name: bytes) -> CDentry | None:
        if directory.flags & lib.DENTRY_UNHASHED:
            return None  # a removed directory is empty
        if len(name) > NAME_MAX:
            raise ENAMETOOLONG("component")
        entry = filesystem_of(directory.sb).lookup(self.task, directory, name)
        if entry is None or entry.mounted == ffi.NULL:
            return entry
        if self.resolve_flags & RESOLVE_NO_XDEV:
            raise EXDEV("mount")
        return topmost(entry)

    def _dotdot(self, current: CDentry) -> CDentry:
        """The parent, never above the root: follow_dotdot() in Linux fs/namei.c."""
        while True:
            if current == self.root:
                if self.resolve_flags & RESOLVE_BENEATH:
                    raise EXDEV("..")
                return current
            if current.parent != current:
                parent = current.parent
                if parent.mounted != ffi.NULL and self.resolve_flags & RESOLVE_NO_XDEV:
                    raise EXDEV("mount")
                return topmost(parent)
            if current.sb.covered == ffi.NULL:
                return current
            if self.resolve_flags & RESOLVE_NO_XDEV:
                raise EXDEV("mount")
            current = current.sb.covered

    def _jump_to_root(self, parent: CDentry) -> CDentry:
        if self.resolve_flags & RESOLVE_BENEATH:
            raise EXDEV("absolute symlink")
        if self.resolve_flags & RESOLVE_NO_XDEV and parent.sb.id != self.root.sb.id:
            raise EXDEV("absolute symlink")
        return self.root

    def _follow(self, entry: CDentry) -> bytes | tuple[CDentry | None, CDescription | None]:
        """What a symlink leads to: a path; or, for a magic link, a place or an anonymous file itself."""
        self.links += 1
        if (
            self.links > MAX_SYMLINKS
            or self.resolve_flags & RESOLVE_NO_SYMLINKS
            or entry.sb.flags & lib.SB_NOSYMFOLLOW
        ):
            raise ELOOP("symlinks")
        file_system = filesystem_of(entry.sb)
        if entry.inode.flags & lib.INODE_PYTHON and self.task is not None:
            target = file_system.magic_link(self.task, entry.inode)
            if target is not None:
                if self.resolve_flags & RESOLVE_NO_MAGICLINKS:
                    raise ELOOP("magic link")
                if self.resolve_flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
                    raise EXDEV("magic link")
                return _magic_place(target)
        path = file_system.readlink(self.task, entry.inode)
        if not path:
            raise ENOENT("empty symlink")
        return path


def _magic_place(target: Any) -> tuple[CDentry | None, CDescription | None]:
    """A file system answers with a dentry or a description; one that was opened by a path leads to that place."""
    if ffi.typeof(target) is not _DESCRIPTION_POINTER:
        return target, None
    return (target.dentry if target.dentry != ffi.NULL else None), target
