"""The sentry's side of the gofer's socket: the C client that the fast paths use too, as GoferClient's transport."""

from __future__ import annotations

from gofer import protocol
from gofer.client import GoferClient
from gofer.protocol import GoferDied, GoferError
from pysentry.platform.native import ffi, lib
from pysentry.sandbox.errors import SandboxError, describe

SPIN_NS = 0
"""The gofer stays on our CPU, where looking for a reply would only keep it from answering (native/gofer/README.md)."""
EPERM = 1
ECONNRESET = 104
MAX_TREES = 256


class EngineTransport:
    """One round trip at a time through native/gofer/client.c."""

    __slots__ = ("_fds", "_n_fds", "_reply")

    def __init__(self, sock: int) -> None:
        lib.engine_gofer_init(sock, SPIN_NS)
        self._reply = ffi.new("unsigned char[]", protocol.MESSAGE_MAX)
        self._fds = ffi.new("int[]", 4)
        self._n_fds = ffi.new("int *")

    def call(self, op: int, payload: bytes) -> tuple[bytes, list[int]]:
        """Body and descriptors of the reply. GoferError(errno), GoferDied."""
        self._n_fds[0] = 4
        size = lib.engine_gofer_call(
            op, payload, len(payload), self._reply, protocol.MESSAGE_MAX, self._fds, self._n_fds
        )
        if size == -ECONNRESET:
            raise GoferDied
        if size < 0:
            raise GoferError(-size)
        return bytes(ffi.buffer(self._reply, size)), list(self._fds[0 : self._n_fds[0]])


def greet(sock: int) -> tuple[GoferClient, list[int]]:
    """Waits until the gofer is ready. (client, TREE_* flags of each tree.)

    Raises:
        SandboxError: a tree cannot be served, or the gofer could not lock itself up.
    """
    transport = EngineTransport(sock)
    flags = ffi.new("uint32_t[]", MAX_TREES)
    step = ffi.new("char[]", 257)
    count = lib.engine_gofer_hello(flags, MAX_TREES, step, 257)
    if count < 0:
        where = ffi.string(step).decode(errors="replace")
        what = f"the gofer failed at '{where}'" if where else "the gofer did not start"
        hint = "; 'pysentry doctor' says what is missing" if -count == EPERM else ""
        raise SandboxError(f"{what}: {describe(count)}{hint}")
    return GoferClient(transport), list(flags[0 : min(count, MAX_TREES)])
