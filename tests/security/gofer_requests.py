"""Every request to a gofer that takes a path, for tests that try one in each of its places."""

from __future__ import annotations

import stat

from gofer import protocol

NO_IDS = (protocol.NO_ID, protocol.NO_ID)


def requests_with(path: bytes) -> list[tuple[int, bytes]]:
    """Every request that takes a path, with this one in each of its places."""
    n = len(path)
    name = b"user.x"
    pair = protocol.PAIR_REQUEST
    return [
        (protocol.WALK, protocol.WALK_REQUEST.pack(0, n, 0, 0) + path),
        (protocol.WALK, protocol.WALK_REQUEST.pack(0, n, n, 0) + path),
        (protocol.READDIR, protocol.READDIR_REQUEST.pack(0, n, 0) + path),
        (protocol.LIST, protocol.READDIR_REQUEST.pack(0, n, 0) + path),
        (protocol.OPEN, protocol.OPEN_REQUEST.pack(0, n, 0, 0) + path),
        (protocol.OPEN_MANY, protocol.OPEN_MANY_REQUEST.pack(0, n, 2, 1) + path + b"x\0"),
        (protocol.STATFS, protocol.PATH.pack(0, n) + path),
        (protocol.CREATE, protocol.CREATE_REQUEST.pack(0, n, 2, 0o600, *NO_IDS) + path),
        (protocol.MKDIR, protocol.CREATE_REQUEST.pack(0, n, 0, 0o700, *NO_IDS) + path),
        (protocol.MKNOD, protocol.CREATE_REQUEST.pack(0, n, 0, stat.S_IFIFO, *NO_IDS) + path),
        (protocol.SYMLINK, pair.pack(0, n, 1, 0, *NO_IDS) + path + b"x"),
        (protocol.LINK, pair.pack(0, n, 3, 0, *NO_IDS) + path + b"new"),
        (protocol.LINK, pair.pack(0, 12, n, 0, *NO_IDS) + b"dir/sub/file" + path),
        (protocol.RENAME, pair.pack(0, n, 3, 0, *NO_IDS) + path + b"new"),
        (protocol.RENAME, pair.pack(0, 12, n, 0, *NO_IDS) + b"dir/sub/file" + path),
        (protocol.UNLINK, protocol.PATH.pack(0, n) + path),
        (protocol.RMDIR, protocol.PATH.pack(0, n) + path),
        (protocol.SETATTR, protocol.SETATTR_REQUEST.pack(0, n, 1, 0o777, 0, 0, 0, 0, 0, 0, 0) + path),
        (protocol.GETXATTR, protocol.XATTR_REQUEST.pack(0, n, 6, 0, 0, 0) + path + name),
        (protocol.LISTXATTR, protocol.PATH.pack(0, n) + path),
        (protocol.SETXATTR, protocol.XATTR_REQUEST.pack(0, n, 6, 1, 0, 0) + path + name + b"v"),
        (protocol.REMOVEXATTR, protocol.XATTR_REQUEST.pack(0, n, 6, 0, 0, 0) + path + name),
    ]
