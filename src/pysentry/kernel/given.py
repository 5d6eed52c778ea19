"""Host descriptors that the sandbox shares with strangers: its standard input, output and error, as they were given.

O_NONBLOCK belongs to the description, so it is never set on them. Reads and writes do not wait all the same: RWF_NOWAIT
where the host has it, otherwise a poll first, and then no more than what the poll promises.
"""

from __future__ import annotations

import os

from pysentry.kernel import host

_POLLIN, _POLLOUT = 0x1, 0x4
_PIPE_BUF = 4096
_RWF_NOWAIT = 0x8
_HERE = -1  # as offset: the current position
_NOT_SUPPORTED = (22, 29, 95)  # EINVAL, ESPIPE, EOPNOTSUPP: this kind of file has no RWF_NOWAIT


def read(fd: int, size: int) -> bytes:
    """What is there now. BlockingIOError: nothing."""
    buffer = bytearray(size)
    try:
        count = os.preadv(fd, [buffer], _HERE, _RWF_NOWAIT)
        return bytes(memoryview(buffer)[:count])
    except BlockingIOError:
        if _is_always_ready(fd):  # a file whose page is not in memory: the disk may be waited for
            return os.read(fd, size)
        raise
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    if not host.poll_now(((fd, _POLLIN),))[0]:
        raise BlockingIOError(11, "not ready")
    return os.read(fd, size)


def write(fd: int, data: bytes) -> int:
    """Bytes taken now. BlockingIOError: no room."""
    try:
        return os.pwritev(fd, [data], _HERE, _RWF_NOWAIT)
    except BlockingIOError:
        if _is_always_ready(fd):
            return os.write(fd, data)
        raise
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    if not host.poll_now(((fd, _POLLOUT),))[0]:
        raise BlockingIOError(11, "not ready")
    return os.write(fd, data[:_PIPE_BUF])  # POLLOUT promises room for so much


def _is_always_ready(fd: int) -> bool:
    kind = os.fstat(fd).st_mode & 0o170000
    return kind in (0o100000, 0o060000)
