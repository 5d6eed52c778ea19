"""A transport for GoferClient that owns one end of the socketpair; for everything that is not the sentry.

Waiting and framing are the C client's (native/gofer/client.c), here in gofer._native.
"""

from __future__ import annotations

import os
from errno import ECONNRESET

from gofer import protocol
from gofer._native import ffi, lib
from gofer.protocol import GoferDied, GoferError, GoferSetupError


class SocketTransport:
    """sock_fd: a SOCK_SEQPACKET socket, owned from now on. spin_ns: how long to look for a reply before sleeping."""

    def __init__(self, sock_fd: int, spin_ns: int = 0) -> None:
        self.c = ffi.new("struct gofer_client *")
        lib.gofer_client_init(self.c, sock_fd, spin_ns)
        self._reply = ffi.new("unsigned char[]", protocol.MESSAGE_MAX)
        self._fds = ffi.new("int[]", protocol.FDS_MAX)
        self._n_fds = ffi.new("int *")

    def call(self, op: int, payload: bytes) -> tuple[bytes, list[int]]:
        self._n_fds[0] = protocol.FDS_MAX
        size = lib.gofer_call(
            self.c, op, payload, len(payload), self._reply, protocol.MESSAGE_MAX, self._fds, self._n_fds
        )
        if size >= 0:
            return bytes(ffi.buffer(self._reply, size)), list(self._fds[0 : self._n_fds[0]])
        if size == -ECONNRESET and self.c.dead:
            raise GoferDied
        raise GoferError(-size)

    def wait_for_setup(self) -> list[int]:
        """Says HELLO. Returns the trees' TREE_* flags; GoferSetupError if the gofer could not lock itself up."""
        flags = ffi.new("uint32_t[]", 256)
        step = ffi.new("char[]", 257)
        count = lib.gofer_hello(self.c, flags, 256, step, 257)
        if count >= 0:
            return list(flags[0 : min(count, 256)])
        if count == -ECONNRESET and self.c.dead:
            raise GoferDied
        raise GoferSetupError(ffi.string(step).decode(errors="replace"), -count)

    def close(self) -> None:
        if self.c.fd >= 0:
            os.close(self.c.fd)
            self.c.fd = -1
            self.c.dead = 1
