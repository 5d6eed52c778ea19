"""The gofer's entry, and the requests that C does not answer: those that change a tree, extended attributes, ptys.

Owns what these requests do on the host. Does not own the loop, WALK, READDIR, OPEN, CREATE, STATFS (native/gofer), nor
the boundary (lockdown.py). The sentry is hostile: a body is only bytes until _take has compared its lengths.
"""

from __future__ import annotations

import fcntl
import os
from errno import EINVAL, EIO, EOPNOTSUPP, EPROTO, ERANGE, EROFS, ESTALE
from stat import S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, S_ISDIR, S_ISREG
from struct import Struct

from gofer import protocol
from gofer._native import ffi, lib
from gofer.lockdown import Locked, enter
from gofer.protocol import GoferSetupError
from gofer.syscalls import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from gofer.tree import Tree

    IdRanges = Sequence[Sequence[tuple[int, int, int]]]

_TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_INT = Struct("<i")
S_IFMT = 0o170000
_ALL_RENAME_FLAGS = 7  # NOREPLACE, EXCHANGE, WHITEOUT; a file system may know fewer
_ALL_XATTR_FLAGS = 3
_XATTR_MAX = 60_000  # the value travels in one message


def serve(
    sock_fd: int,
    trees: Sequence[Tree],
    *,
    spin_ns: int = 0,
    is_following: bool = True,
    is_killed_with_parent: bool = False,
    id_ranges: IdRanges = ((), ()),
) -> None:
    """Turns this process into a gofer for `trees` that answers at `sock_fd`, until the sentry hangs up. Never returns.

    To be called right after a fork, by a single-threaded process. If the set-up fails, the answer to the sentry's HELLO
    is the step and its errno (gofer_hello, SocketTransport.wait_for_setup) and the exit status is 1.

    is_following: stay on the sentry's CPU. spin_ns: how long to look for the next request before sleeping, on another
    CPU. native/gofer/README.md has measurements of both.
    id_ranges: how owners on the host show, of users and of groups: (inside, host, count); none: as they are.
    is_killed_with_parent: die with the thread that forked us; hanging up is enough where nobody inherits the socket.
    """
    status = 1
    try:
        try:
            root_is_root = all(host == 0 for inside, host, _ in id_ranges[0] if inside == 0)
            locked = enter(trees, sock_fd, is_killed_with_parent, root_is_root)
        except GoferSetupError as error:
            step = error.step.encode()[:256]
            # Which of the two it is depends on the step that failed.
            lib.gofer_refuse(sock_fd if error.step == "signals" else 3, error.errno or EIO, step, len(step))
        else:
            server = Server(locked, id_ranges)
            status = 0 if lib.gofer_server_run(server.c, spin_ns, is_following) == 0 else 1
    finally:
        os._exit(status)


class _Parent:
    """The open parent directory of a path, and the last name; for `with`. OSError if there is none."""

    __slots__ = ("fd", "name")

    def __init__(self, server: Server, tree: int, path: bytes) -> None:
        name_at = ffi.new("uint32_t *")
        self.fd: int = check(lib.gofer_open_parent_fd(server.c, tree, path, len(path), name_at))
        self.name = path[name_at[0] :]

    def __enter__(self) -> _Parent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class _Target:
    """What a path names, symlinks not followed, as an O_PATH descriptor; for `with`."""

    __slots__ = ("fd",)

    def __init__(self, server: Server, tree: int, path: bytes) -> None:
        self.fd: int = check(lib.gofer_open_path(server.c, tree, path, len(path)))

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @property
    def link(self) -> str:
        """Its name below /proc/self/fd, which is also the working directory."""
        return str(self.fd)


class Server:
    """The one server of a gofer process."""

    def __init__(self, locked: Locked, id_ranges: IdRanges = ((), ())) -> None:
        global _the_server
        self.proc_fd = locked.proc_fd
        self.pts_fd = locked.pts_fd
        self.c = lib.gofer_server_new(locked.sock_fd, locked.proc_fd, lib.gofer_python_request)
        if not self.c:
            raise MemoryError
        ids = locked.id_map
        lib.gofer_server_map_ids(self.c, ids.overflow, ids.uid_inside, ids.uid, ids.gid_inside, ids.gid)
        self.is_writable = []
        for is_group, ranges in enumerate(id_ranges):
            for inside, host, count in ranges:
                check(lib.gofer_server_add_range(self.c, is_group, inside, host, count))
        self.may_set_capabilities = locked.may_set_capabilities
        self.has_one_owner = any(tree.flags & protocol.TREE_ONE_OWNER for tree in locked.trees)
        for tree in locked.trees:
            check(lib.gofer_server_add_tree(self.c, tree.fd, tree.flags))
            self.is_writable.append(bool(tree.flags & protocol.TREE_WRITABLE))
        self.fds: list[int] = []  # to go out with the answer
        _the_server = self

    # --- taking requests apart ---

    def check_writable(self, tree: int) -> None:
        if tree >= len(self.is_writable):
            raise OSError(EINVAL, "no such tree")
        if not self.is_writable[tree]:
            raise OSError(EROFS, "read-only tree")

    def attr_at(self, fd: int, name: bytes) -> bytes:
        attr = ffi.new("struct gofer_attr *")
        check(lib.gofer_attr_at(self.c, fd, name, attr))
        return bytes(ffi.buffer(attr))

    def own_ids(self, uid: int, gid: int) -> tuple[int, int]:
        """The sandbox's ids as this process names them, -1 for NO_ID. EINVAL: one has no number on the host."""
        own = ffi.new("uint32_t[2]")
        check(lib.gofer_own_ids(self.c, uid, gid, own, own + 1))
        return tuple(-1 if number == protocol.NO_ID else number for number in own)  # type: ignore[return-value]

    def new_owner(self, uid: int, gid: int) -> tuple[int, int]:
        """The same for what is made: nobody else, if we cannot give it away."""
        return (-1, -1) if self.has_one_owner else self.own_ids(uid, gid)

    def give(self, parent: _Parent, mode: int, owner: int, group: int) -> bytes:
        """Gives what was just made to its owner; then the bits that a change of owner takes away. Its attributes.

        Somebody on the host may have put another thing in its place: only what has no other name is given away. A file
        system without owners (EPERM) leaves it ours, as the attributes say."""
        fd = check(lib.gofer_openat2(parent.fd, parent.name, os.O_PATH, 0))
        try:
            found = protocol.Attr(self.attr_at(fd, b""))
            if found.mode & S_IFMT != mode & S_IFMT or (found.nlink > 1 and not S_ISDIR(mode)):
                raise OSError(ESTALE, "something else by now")
            if owner >= 0 or group >= 0:
                try:
                    os.chown(str(fd), owner, group, dir_fd=self.proc_fd)
                except PermissionError:
                    pass
            if mode & 0o7000:  # which mkdir(2) may ignore
                os.chmod(str(fd), mode & 0o7777, dir_fd=self.proc_fd)
            return self.attr_at(fd, b"")
        finally:
            os.close(fd)

    # --- what changes names ---

    def mkdir(self, body: bytes) -> bytes:
        (tree, _, flags, mode, uid, gid), (path,) = _take(protocol.CREATE_REQUEST, body, 1)
        self.check_writable(tree)
        if flags or mode & ~0o7777:
            raise OSError(EINVAL, "flags or mode")
        with _Parent(self, tree, path) as parent:
            owner = self.new_owner(uid, gid)
            os.mkdir(parent.name, mode & 0o777, dir_fd=parent.fd)
            return self.give(parent, S_IFDIR | mode, *owner)

    def mknod(self, body: bytes) -> bytes:
        (tree, _, flags, mode, uid, gid), (path,) = _take(protocol.CREATE_REQUEST, body, 1)
        self.check_writable(tree)
        if flags or mode & ~0o177777 or (mode & 0o170000) not in (S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR):
            raise OSError(EINVAL, "type")  # a device is the sentry's own, never the host's: S_IFCHR is a whiteout
        with _Parent(self, tree, path) as parent:
            owner = self.new_owner(uid, gid)
            os.mknod(parent.name, mode, 0, dir_fd=parent.fd)
            return self.give(parent, mode, *owner)

    def symlink(self, body: bytes) -> bytes:
        (tree, _, _, flags, uid, gid), (path, target) = _take(protocol.PAIR_REQUEST, body, 2)
        self.check_writable(tree)
        if flags or not target or b"\0" in target or len(target) > protocol.PATH_MAX:
            raise OSError(EINVAL, "target")
        with _Parent(self, tree, path) as parent:
            owner = self.new_owner(uid, gid)
            os.symlink(target, parent.name, dir_fd=parent.fd)
            return self.give(parent, S_IFLNK, *owner)

    def link(self, body: bytes) -> bytes:
        (tree, _, _, flags, _, _), (old_path, new_path) = _take(protocol.PAIR_REQUEST, body, 2)
        self.check_writable(tree)
        if flags:
            raise OSError(EINVAL, "flags")
        with _Parent(self, tree, old_path) as old, _Parent(self, tree, new_path) as new:
            os.link(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)
            return self.attr_at(new.fd, new.name)

    def rename(self, body: bytes) -> bytes:
        (tree, _, _, flags, _, _), (old_path, new_path) = _take(protocol.PAIR_REQUEST, body, 2)
        self.check_writable(tree)
        if flags & ~_ALL_RENAME_FLAGS:
            raise OSError(EINVAL, "flags")
        with _Parent(self, tree, old_path) as old, _Parent(self, tree, new_path) as new:
            check(lib.gofer_renameat2(old.fd, old.name, new.fd, new.name, flags))
        return b""

    def unlink(self, body: bytes) -> bytes:
        (tree, _), (path,) = _take(protocol.PATH, body, 1)
        self.check_writable(tree)
        with _Parent(self, tree, path) as parent:
            os.unlink(parent.name, dir_fd=parent.fd)
        return b""

    def rmdir(self, body: bytes) -> bytes:
        (tree, _), (path,) = _take(protocol.PATH, body, 1)
        self.check_writable(tree)
        with _Parent(self, tree, path) as parent:
            os.rmdir(parent.name, dir_fd=parent.fd)
        return b""

    # --- what changes an inode ---

    def setattr(self, body: bytes) -> bytes:
        fixed, (path,) = _take(protocol.SETATTR_REQUEST, body, 1)
        tree, _, fields, mode, uid, gid, size, atime, mtime, atime_nsec, mtime_nsec = fixed
        self.check_writable(tree)
        if not _is_setattr_sound(fields, mode, size, atime_nsec, mtime_nsec):
            raise OSError(EINVAL, "fields")
        with _Target(self, tree, path) as target:
            if fields & protocol.SET_SIZE:
                self._truncate(target, size)
            if fields & (protocol.SET_UID | protocol.SET_GID):
                owner, group = self.own_ids(
                    uid if fields & protocol.SET_UID else protocol.NO_ID,
                    gid if fields & protocol.SET_GID else protocol.NO_ID,
                )
                os.chown(target.link, owner, group, dir_fd=self.proc_fd)
            if fields & protocol.SET_MODE:  # after chown, which clears the set-id bits
                os.chmod(target.link, mode, dir_fd=self.proc_fd)
            access = _time(fields, protocol.SET_ATIME, protocol.SET_ATIME_NOW, atime, atime_nsec)
            change = _time(fields, protocol.SET_MTIME, protocol.SET_MTIME_NOW, mtime, mtime_nsec)
            if access[1] != _UTIME_OMIT or change[1] != _UTIME_OMIT:
                check(lib.gofer_set_times(self.proc_fd, target.link.encode(), (*access, *change)))
            return self.attr_at(target.fd, b"")

    def _truncate(self, target: _Target, size: int) -> None:
        if not S_ISREG(protocol.Attr(self.attr_at(target.fd, b"")).mode):
            raise OSError(EINVAL, "not a regular file")
        fd = check(lib.gofer_reopen(self.c, target.fd, os.O_WRONLY))
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    # --- extended attributes: by the name below /proc/self/fd, as an O_PATH descriptor won't do ---

    def getxattr(self, body: bytes) -> bytes:
        (tree, _, _, _, flags, _), (path, name, value) = _take(protocol.XATTR_REQUEST, body, 3)
        if flags or value or not name or b"\0" in name:
            raise OSError(EINVAL, "attribute")
        with _Target(self, tree, path) as target:
            found = os.getxattr(target.link, name)
        if len(found) > _XATTR_MAX:
            raise OSError(ERANGE, "too long for a message")
        return found

    def listxattr(self, body: bytes) -> bytes:
        (tree, _), (path,) = _take(protocol.PATH, body, 1)
        with _Target(self, tree, path) as target:
            return b"".join(os.fsencode(name) + b"\0" for name in os.listxattr(target.link))

    def setxattr(self, body: bytes) -> bytes:
        (tree, _, _, _, flags, _), (path, name, value) = _take(protocol.XATTR_REQUEST, body, 3)
        self._check_settable(tree, name)
        if flags & ~_ALL_XATTR_FLAGS:
            raise OSError(EINVAL, "flags")
        with _Target(self, tree, path) as target:
            os.setxattr(target.link, name, value, flags)
        return b""

    def removexattr(self, body: bytes) -> bytes:
        (tree, _, _, _, flags, _), (path, name, value) = _take(protocol.XATTR_REQUEST, body, 3)
        self._check_settable(tree, name)
        if flags or value:
            raise OSError(EINVAL, "flags or value")
        with _Target(self, tree, path) as target:
            os.removexattr(target.link, name)
        return b""

    def _check_settable(self, tree: int, name: bytes) -> None:
        self.check_writable(tree)
        is_allowed = name.startswith(b"user.") or (name == b"security.capability" and self.may_set_capabilities)
        if b"\0" in name or not is_allowed:
            raise OSError(EOPNOTSUPP, "only user attributes")  # others mean something to the host's kernel

    # --- terminals ---

    def open_pty(self, body: bytes) -> bytes:
        if body:
            raise OSError(EPROTO, "body")
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        master = os.open("ptmx", flags, dir_fd=self.pts_fd)
        self.fds.append(master)
        fcntl.ioctl(master, _TIOCSPTLCK, _INT.pack(0))
        index = _INT.unpack(fcntl.ioctl(master, _TIOCGPTN, _INT.pack(0)))[0]
        self.fds.append(fcntl.ioctl(master, _TIOCGPTPEER, flags))
        return protocol.PTY_REPLY.pack(index, 0)


def _take(layout: Struct, body: bytes, n_strings: int) -> tuple[tuple[Any, ...], list[bytes]]:
    """The fixed fields, and the strings after them whose lengths are the fields from the second on; EPROTO if the body
    is not exactly as long as they say."""
    if len(body) < layout.size:
        raise OSError(EPROTO, "short body")
    fixed = layout.unpack_from(body)
    strings = []
    at = layout.size
    for length in fixed[1 : 1 + n_strings]:
        strings.append(body[at : at + length])
        at += length
    if at != len(body):
        raise OSError(EPROTO, "lengths")
    return fixed, strings


def _is_setattr_sound(fields: int, mode: int, size: int, atime_nsec: int, mtime_nsec: int) -> bool:
    return (
        not fields & ~255
        and not (fields & protocol.SET_MODE and mode & ~0o7777)
        and not (fields & protocol.SET_SIZE and size >= 1 << 63)
        and atime_nsec < protocol.NS
        and mtime_nsec < protocol.NS
    )


def _time(fields: int, set_field: int, now_field: int, seconds: int, nanoseconds: int) -> tuple[int, int]:
    """One of the two times of utimensat(2)."""
    if fields & now_field:
        return 0, _UTIME_NOW
    return (seconds, nanoseconds) if fields & set_field else (0, _UTIME_OMIT)


_the_server: Server
_HANDLERS: dict[int, Callable[[Server, bytes], bytes]] = {
    protocol.MKDIR: Server.mkdir,
    protocol.SYMLINK: Server.symlink,
    protocol.LINK: Server.link,
    protocol.UNLINK: Server.unlink,
    protocol.RMDIR: Server.rmdir,
    protocol.RENAME: Server.rename,
    protocol.MKNOD: Server.mknod,
    protocol.SETATTR: Server.setattr,
    protocol.GETXATTR: Server.getxattr,
    protocol.LISTXATTR: Server.listxattr,
    protocol.SETXATTR: Server.setxattr,
    protocol.REMOVEXATTR: Server.removexattr,
    protocol.OPEN_PTY: Server.open_pty,
}


def _ignore_error(*_: object) -> None:
    """There is nobody to print a traceback to; the caller gets EIO."""


@ffi.def_extern(error=-EIO, onerror=_ignore_error)  # type: ignore[untyped-decorator]
def gofer_python_request(
    _c: object, op: int, body: Any, body_len: int, reply: Any, cap: int, fds: Any, n_fds: Any
) -> int:
    """Answers one request for native/gofer/server.c: the length of the reply's body, or a negative errno."""
    server = _the_server
    server.fds = []
    try:
        answer = _HANDLERS[op](server, bytes(ffi.buffer(body, body_len)))
        if len(answer) > cap:
            raise OSError(ERANGE, "too long for a message")
    except OSError as error:
        for fd in server.fds:
            os.close(fd)
        return -(error.errno or EIO)
    ffi.memmove(reply, answer, len(answer))
    for i, fd in enumerate(server.fds):
        fds[i] = fd
    n_fds[0] = len(server.fds)
    return len(answer)
