"""A sandbox kernel inside the test process: a task without a workload, whose memory is the test's own.

Calls go through the Python handlers exactly as traps would, with pointers into the test's memory. A directory of the
host, served by a real gofer, can lie below the root.
"""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct

from gofer.client import GoferClient
from gofer.tree import Tree
from pysentry.abi.capability import CAP_FULL_SET
from pysentry.abi.errno import LinuxError
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.abi.stat import DIRENT64_HEAD, STAT
from pysentry.abi.syscall_nr import NAMES
from pysentry.kernel.task import Task, task_of
from pysentry.platform.native import ffi, lib
from pysentry.syscalls import attr, dir, fcntl, io, memory, open, stat, xattr  # noqa: F401
from pysentry.syscalls.registry import HANDLERS
from pysentry.vfs.filesystems.gofer import make_bind
from pysentry.vfs.filesystems.tree import make_tree
from pysentry.vfs.lower import LowerTree
from tests.unit.gofer.harness import Gofer

NUMBERS = {name: number for number, name in NAMES.items()}
UNLIMITED = (1 << 64) - 1
NS = 1_000_000_000


class Stat:
    """What struct stat says."""

    def __init__(self, data: bytes) -> None:
        (
            self.dev, self.ino, self.nlink, self.mode, self.uid, self.gid, self.rdev, self.size, self.blksize,
            self.blocks, a_s, a_ns, m_s, m_ns, c_s, c_ns,
        ) = STAT.unpack(data)  # fmt: skip
        self.atime_ns, self.mtime_ns, self.ctime_ns = a_s * NS + a_ns, m_s * NS + m_ns, c_s * NS + c_ns


class Kernel:
    """One task, root unless told otherwise. Methods raise OSError, like their namesakes in os."""

    def __init__(self, root, uid: int = 0, gid: int = 0) -> None:  # type: ignore[no-untyped-def]
        self._group = ffi.new("struct thread_group *")
        self._group.refs = 1
        self._group.tgid = os.getpid()
        for index in range(16):
            self._group.rlimit_cur[index] = self._group.rlimit_max[index] = UNLIMITED
        self._group.rlimit_cur[7] = 1024
        self._c = ffi.new("struct task *")
        self._c.tid = os.getpid()
        self._c.group = self._group
        self._c.files = lib.fd_table_copy(ffi.NULL)
        self._c.fs = lib.fs_copy(ffi.NULL)
        lib.fs_set_root(self._c.fs, root)
        lib.fs_set_cwd(self._c.fs, root)
        lib.task_set_cred(self._c, lib.cred_copy(ffi.NULL))
        self.task: Task = task_of(self._c)
        self.become(uid, gid)

    def become(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        """New ids; capabilities as they come with them."""
        caps = 0 if uid else CAP_FULL_SET
        self.task.set_cred(
            uid=uid, euid=uid, suid=uid, fsuid=uid, gid=gid, egid=gid, sgid=gid, fsgid=gid,
            cap_effective=caps, cap_permitted=caps, cap_bounding=CAP_FULL_SET, groups=list(groups),
        )  # fmt: skip

    def end(self) -> None:
        """Lets go of every file, so that a thousand kernels fit into one test process."""
        for fd in self.task.fd_table.open_fds():
            self.task.fd_table.close(fd)
        root = self._c.fs.root
        lib.fs_set_cwd(self._c.fs, root)
        while root.first_child != ffi.NULL:
            lib.dentry_drop(root.first_child)

    def call(self, name: str, *args: int | bytes | bytearray | str | os.PathLike[str] | None) -> int:
        """One system call. bytes and paths become pointers to NUL-terminated copies, bytearrays to themselves."""
        kept = []
        words = []
        for arg in args:
            if arg is None:
                words.append(0)
            elif isinstance(arg, int):
                words.append(arg)
            else:
                data = arg if isinstance(arg, bytearray) else bytearray(os.fsencode(arg) + b"\0")
                buffer = ffi.from_buffer(data)
                kept.append(buffer)
                words.append(int(ffi.cast("uintptr_t", buffer)))
        try:
            result = HANDLERS[NUMBERS[name]](self.task, *words)
            if inspect.iscoroutine(result):
                try:
                    result.send(None)
                except StopIteration as stop:
                    result = stop.value
                else:
                    result.close()
                    raise AssertionError(f"{name} waits")
        except LinuxError as error:
            raise OSError(error.errno, f"{errno.errorcode[error.errno]}: {error}") from None
        return int(result)

    # ---- by their names in os ----

    def open(self, path: str | bytes, flags: int, mode: int = 0o777, dir_fd: int = AT_FDCWD) -> int:
        return self.call("openat", dir_fd, path, flags, mode)

    def close(self, fd: int) -> None:
        self.call("close", fd)

    def write(self, fd: int, data: bytes) -> int:
        return self.call("write", fd, bytearray(data or b"\0"), len(data))

    def read(self, fd: int, size: int) -> bytes:
        buffer = bytearray(size or 1)
        return bytes(buffer[: self.call("read", fd, buffer, size)])

    def stat(self, path: str | bytes, follow_symlinks: bool = True) -> Stat:
        buffer = bytearray(STAT.size)
        self.call("stat" if follow_symlinks else "lstat", path, buffer)
        return Stat(bytes(buffer))

    def lstat(self, path: str | bytes) -> Stat:
        return self.stat(path, follow_symlinks=False)

    def fstat(self, fd: int) -> Stat:
        buffer = bytearray(STAT.size)
        self.call("fstat", fd, buffer)
        return Stat(bytes(buffer))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self.call("mkdir", path, mode)

    def rmdir(self, path: str) -> None:
        self.call("rmdir", path)

    def unlink(self, path: str) -> None:
        self.call("unlink", path)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        self.call("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)

    def link(self, old: str, new: str) -> None:
        self.call("link", old, new)

    def symlink(self, target: str, path: str) -> None:
        self.call("symlink", target, path)

    def readlink(self, path: str) -> str:
        buffer = bytearray(4096)
        return os.fsdecode(bytes(buffer[: self.call("readlink", path, buffer, 4096)]))

    def chmod(self, path: str, mode: int) -> None:
        self.call("chmod", path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        self.call("chown", path, uid, gid)

    def truncate(self, path: str, length: int) -> None:
        self.call("truncate", path, length)

    def access(self, path: str, mode: int) -> None:
        self.call("access", path, mode)

    def chdir(self, path: str) -> None:
        self.call("chdir", path)

    def getcwd(self) -> str:
        buffer = bytearray(4096)
        return os.fsdecode(bytes(buffer[: self.call("getcwd", buffer, 4096) - 1]))

    def utime(self, path: str, ns: tuple[int, int]) -> None:
        times = bytearray(Struct("<qqqq").pack(*divmod(ns[0], NS), *divmod(ns[1], NS)))
        self.call("utimensat", AT_FDCWD, path, times, 0)

    def listdir(self, path: str) -> list[str]:
        return sorted(name for name, _, _ in self.scandir(path) if name not in (".", ".."))

    def scandir(self, path: str, room: int = 4096) -> list[tuple[str, int, int]]:
        """(name, inode number, DT_*) of everything that getdents64 says."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        found = []
        try:
            buffer = bytearray(room)
            while size := self.call("getdents64", fd, buffer, room):
                at = 0
                while at < size:
                    ino, _, length, kind = DIRENT64_HEAD.unpack_from(buffer, at)
                    name = bytes(buffer[at + DIRENT64_HEAD.size : at + length]).split(b"\0")[0]
                    found.append((os.fsdecode(name), ino, kind))
                    at += length
        finally:
            self.close(fd)
        return found

    def read_file(self, path: str) -> bytes:
        fd = self.open(path, os.O_RDONLY)
        parts = []
        while part := self.read(fd, 65536):
            parts.append(part)
        self.close(fd)
        return b"".join(parts)

    def write_file(self, path: str, data: bytes, mode: int = 0o666) -> None:
        fd = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self.write(fd, data)
        self.close(fd)


def use_gofer(gofer: Gofer) -> None:
    """Lets the vfs in C ask it too; both clients wait for each answer, so they can share a socket."""
    lib.engine_gofer_init(gofer.transport.c.fd, 0)


def tmpfs_kernel(**options: int) -> Kernel:
    """A kernel whose root is an empty file system in memory."""
    tree = make_tree(0, os.makedev(0, 99), mode=0o777, **options)
    lib.mount_attach(ffi.NULL, tree.sb)
    return Kernel(tree.sb.root)


@contextmanager
def overlay_kernel(place: Path, gofer_uid: int | None = None) -> Iterator[tuple[Kernel, GoferClient]]:
    """A kernel whose root is an overlay on a host directory."""
    gofer = Gofer([Tree(str(place))], gofer_uid)
    use_gofer(gofer)
    try:
        tree = make_tree(lib.SB_CACHED, os.makedev(0, 98), LowerTree(gofer.client, 0))
        lib.mount_attach(ffi.NULL, tree.sb)
        tree.sb.next_ino = 1 << 40
        kernel = Kernel(tree.sb.root)
        yield kernel, gofer.client
        kernel.end()
    finally:
        gofer.stop()


@contextmanager
def bind_kernel(place: Path, is_writable: bool = True, is_cached: bool = False) -> Iterator[Kernel]:
    """A kernel whose root is a bind of a host directory."""
    gofer = Gofer([Tree(str(place), writable=is_writable)])
    use_gofer(gofer)
    try:
        flags = (0 if is_writable else lib.SB_RDONLY) | (lib.SB_CACHED if is_cached else 0)
        bind = make_bind(flags, LowerTree(gofer.client, 0))
        lib.mount_attach(ffi.NULL, bind.sb)
        kernel = Kernel(bind.sb.root)
        yield kernel
        kernel.end()
    finally:
        gofer.stop()
