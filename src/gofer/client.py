"""Typed requests to a gofer, over any transport. Paths are bytes, relative to a tree's root (see protocol.h).

Owns building bodies and reading answers. Does not own waiting: `transport.call` does one round trip. In the sentry that
is the C client it shares with the fast paths, elsewhere gofer.transport.SocketTransport.
"""

from __future__ import annotations

import os
from errno import EMFILE

from gofer import protocol
from gofer.protocol import Attr, DirEntry, StatFs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Transport(Protocol):
        """One request and its reply."""

        def call(self, op: int, payload: bytes) -> tuple[bytes, list[int]]:
            """Body and descriptors of the reply, which are the caller's to close. GoferError(errno), GoferDied."""


class Walk:
    """The answer to WALK: attributes of the components found, in order; why it stopped (0 or an errno); and the target
    of the last one if it is a symlink."""

    __slots__ = ("attrs", "stop", "target")

    def __init__(self, attrs: list[Attr], stop: int, target: bytes) -> None:
        self.attrs = attrs
        self.stop = stop
        self.target = target


class ReaddirPage:
    """Some entries of a directory; more from next_cookie on unless is_last. `directory` is its own attributes."""

    __slots__ = ("directory", "entries", "is_last", "next_cookie")

    def __init__(self, entries: list[DirEntry], next_cookie: int, is_last: bool, directory: Attr) -> None:
        self.entries = entries
        self.next_cookie = next_cookie
        self.is_last = is_last
        self.directory = directory


class GoferClient:
    """All methods raise GoferError with the host's errno, or GoferDied; EROFS where a change meets a read-only tree."""

    __slots__ = ("transport",)

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def _call(self, op: int, payload: bytes) -> bytes:
        reply, fds = self.transport.call(op, payload)
        for fd in fds:
            os.close(fd)
        return reply

    def hello(self) -> list[int]:
        """Must come first. Returns the trees' TREE_* flags."""
        reply = self._call(protocol.HELLO, protocol.HELLO_REQUEST.pack(protocol.VERSION, 0))
        _, _, n_trees, _ = protocol.HELLO_REPLY.unpack_from(reply)
        at = protocol.HELLO_REPLY.size
        return [int.from_bytes(reply[at + 4 * i : at + 4 * i + 4], "little") for i in range(n_trees)]

    def walk(self, tree: int, path: bytes, base_len: int = 0) -> Walk:
        """Attributes of each component of path[base_len:]; of the path itself if base_len is all of it."""
        fixed = protocol.WALK_REQUEST.pack(tree, len(path), base_len, 0)
        reply = self._call(protocol.WALK, fixed + path)
        count, stop, target_len, _ = protocol.WALK_REPLY.unpack_from(reply)
        at = protocol.WALK_REPLY.size
        attrs = [Attr(reply, at + i * protocol.ATTR.size) for i in range(count)]
        at += count * protocol.ATTR.size
        return Walk(attrs, stop, reply[at : at + target_len])

    def stat(self, tree: int, path: bytes) -> Attr:
        """Attributes of one path, itself if a symlink."""
        walk = self.walk(tree, path, len(path))
        if walk.stop or not walk.attrs:
            raise protocol.GoferError(walk.stop)
        return walk.attrs[0]

    def readdir(self, tree: int, path: bytes, cookie: int = 0) -> ReaddirPage:
        """One page of a directory, without "." and ".."; cookie 0 starts."""
        reply = self._call(protocol.READDIR, protocol.READDIR_REQUEST.pack(tree, len(path), cookie) + path)
        next_cookie, count, eof = protocol.READDIR_REPLY.unpack_from(reply)
        directory = Attr(reply, protocol.READDIR_REPLY.size)
        entries = protocol.unpack_entries(reply, protocol.READDIR_REPLY.size + protocol.ATTR.size, count)
        return ReaddirPage(entries, next_cookie, bool(eof), directory)

    def list_directory(self, tree: int, path: bytes) -> list[DirEntry]:
        """All entries of a directory."""
        page = self.readdir(tree, path)
        entries = page.entries
        while not page.is_last:
            page = self.readdir(tree, path, page.next_cookie)
            entries += page.entries
        return entries

    def list_names(self, tree: int, path: bytes) -> Iterator[tuple[bytes, int, int]]:
        """(name, inode number, DT_*) of every entry, "." and ".." among them."""
        cookie, is_last = 0, False
        while not is_last:
            reply = self._call(protocol.LIST, protocol.READDIR_REQUEST.pack(tree, len(path), cookie) + path)
            cookie, is_last, n_attrs = protocol.LIST_REPLY.unpack_from(reply)
            at = protocol.LIST_REPLY.size + n_attrs * protocol.ATTR.size
            while at < len(reply):
                ino, _, size, kind = protocol.RECORD.unpack_from(reply, at)
                yield reply[at + protocol.RECORD.size : at + size].split(b"\0", 1)[0], ino, kind
                at += size

    def open(self, tree: int, path: bytes, flags: int) -> tuple[int, Attr]:
        """A regular file or directory: a close-on-exec, non-blocking descriptor. ELOOP: a symlink; ENXIO: neither."""
        payload = protocol.OPEN_REQUEST.pack(tree, len(path), flags, 0) + path
        return self._open(protocol.OPEN, payload)

    def open_many(self, tree: int, directory: bytes, names: list[bytes]) -> list[int]:
        """Regular files of one directory, for reading: a descriptor or a negative errno each."""
        text = b"".join(name + b"\0" for name in names)
        fixed = protocol.OPEN_MANY_REQUEST.pack(tree, len(directory), len(text), len(names))
        reply, fds = self.transport.call(protocol.OPEN_MANY, fixed + directory + text)
        count, _ = protocol.OPEN_MANY_REPLY.unpack_from(reply)
        errors = [code for (code,) in protocol.ERRNO.iter_unpack(reply[protocol.OPEN_MANY_REPLY.size :])][:count]
        given = iter(fds)
        return [-code if code else next(given, -EMFILE) for code in errors]

    def create(
        self, tree: int, path: bytes, flags: int, mode: int, uid: int = protocol.NO_ID, gid: int = protocol.NO_ID
    ) -> tuple[int, Attr]:
        """A new regular file with exactly this mode; EEXIST if there is anything of that name."""
        payload = protocol.CREATE_REQUEST.pack(tree, len(path), flags, mode, uid, gid) + path
        return self._open(protocol.CREATE, payload)

    def _open(self, op: int, payload: bytes) -> tuple[int, Attr]:
        reply, fds = self.transport.call(op, payload)
        if not fds:  # sent, but our own table was full
            raise protocol.GoferError(EMFILE)
        return fds[0], Attr(reply)

    def statfs(self, tree: int, path: bytes) -> StatFs:
        """The file system that holds the path."""
        return StatFs(self._call(protocol.STATFS, protocol.PATH.pack(tree, len(path)) + path))

    def mkdir(
        self, tree: int, path: bytes, mode: int, uid: int = protocol.NO_ID, gid: int = protocol.NO_ID
    ) -> Attr:
        fixed = protocol.CREATE_REQUEST.pack(tree, len(path), 0, mode, uid, gid)
        return Attr(self._call(protocol.MKDIR, fixed + path))

    def mknod(
        self, tree: int, path: bytes, mode: int, uid: int = protocol.NO_ID, gid: int = protocol.NO_ID
    ) -> Attr:
        """mode with S_IFREG, S_IFIFO, S_IFSOCK, or S_IFCHR for a whiteout; anything else is EINVAL."""
        fixed = protocol.CREATE_REQUEST.pack(tree, len(path), 0, mode, uid, gid)
        return Attr(self._call(protocol.MKNOD, fixed + path))

    def symlink(
        self, tree: int, path: bytes, target: bytes, uid: int = protocol.NO_ID, gid: int = protocol.NO_ID
    ) -> Attr:
        """Makes `path` a symlink to `target`."""
        return Attr(self._call(protocol.SYMLINK, _pair(tree, path, target, 0, uid, gid)))

    def link(self, tree: int, old_path: bytes, new_path: bytes) -> Attr:
        return Attr(self._call(protocol.LINK, _pair(tree, old_path, new_path, 0)))

    def rename(self, tree: int, old_path: bytes, new_path: bytes, flags: int = 0) -> None:
        """flags: RENAME_* of renameat2(2)."""
        self._call(protocol.RENAME, _pair(tree, old_path, new_path, flags))

    def unlink(self, tree: int, path: bytes) -> None:
        self._call(protocol.UNLINK, protocol.PATH.pack(tree, len(path)) + path)

    def rmdir(self, tree: int, path: bytes) -> None:
        self._call(protocol.RMDIR, protocol.PATH.pack(tree, len(path)) + path)

    def setattr(
        self,
        tree: int,
        path: bytes,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        size: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
        is_atime_now: bool = False,
        is_mtime_now: bool = False,
    ) -> Attr:
        """Sets what is not None, on the path itself if a symlink; `size` in bytes, times since the epoch."""
        fields = (
            (protocol.SET_MODE if mode is not None else 0)
            | (protocol.SET_UID if uid is not None else 0)
            | (protocol.SET_GID if gid is not None else 0)
            | (protocol.SET_SIZE if size is not None else 0)
            | (protocol.SET_ATIME if atime_ns is not None else 0)
            | (protocol.SET_MTIME if mtime_ns is not None else 0)
            | (protocol.SET_ATIME_NOW if is_atime_now else 0)
            | (protocol.SET_MTIME_NOW if is_mtime_now else 0)
        )
        atime, atime_nsec = divmod(atime_ns or 0, protocol.NS)
        mtime, mtime_nsec = divmod(mtime_ns or 0, protocol.NS)
        fixed = protocol.SETATTR_REQUEST.pack(
            tree, len(path), fields, mode or 0, uid or 0, gid or 0, size or 0, atime, mtime, atime_nsec, mtime_nsec
        )
        return Attr(self._call(protocol.SETATTR, fixed + path))

    def getxattr(self, tree: int, path: bytes, name: bytes) -> bytes:
        """The value. ENODATA: no such attribute."""
        return self._call(protocol.GETXATTR, _xattr(tree, path, name, b"", 0))

    def listxattr(self, tree: int, path: bytes) -> list[bytes]:
        """The attributes' names."""
        reply = self._call(protocol.LISTXATTR, protocol.PATH.pack(tree, len(path)) + path)
        return reply.split(b"\0")[:-1]

    def setxattr(self, tree: int, path: bytes, name: bytes, value: bytes, flags: int = 0) -> None:
        """EOPNOTSUPP unless the name starts with "user."."""
        self._call(protocol.SETXATTR, _xattr(tree, path, name, value, flags))

    def removexattr(self, tree: int, path: bytes, name: bytes) -> None:
        """EOPNOTSUPP unless the name starts with "user."."""
        self._call(protocol.REMOVEXATTR, _xattr(tree, path, name, b"", 0))

    def open_pty(self) -> tuple[int, int, int]:
        """A new terminal: descriptors of master and slave, and its number in /pts."""
        reply, fds = self.transport.call(protocol.OPEN_PTY, b"")
        if len(fds) != 2:
            for fd in fds:
                os.close(fd)
            raise protocol.GoferError(EMFILE)
        return fds[0], fds[1], protocol.PTY_REPLY.unpack(reply)[0]


def _pair(
    tree: int, first: bytes, second: bytes, flags: int, uid: int = protocol.NO_ID, gid: int = protocol.NO_ID
) -> bytes:
    return protocol.PAIR_REQUEST.pack(tree, len(first), len(second), flags, uid, gid) + first + second


def _xattr(tree: int, path: bytes, name: bytes, value: bytes, flags: int) -> bytes:
    return protocol.XATTR_REQUEST.pack(tree, len(path), len(name), len(value), flags, 0) + path + name + value
