"""Moving bytes from one description to another without the workload's memory: sendfile, splice, copy_file_range.

Owns the loop and who is waited for. Positions and limits stay the descriptions' business. The host moves the bytes
where it can do no harm; into a file they go through FileDescription, which knows RLIMIT_FSIZE, O_APPEND and private
positions, and into a descriptor that may block they go by its own careful write.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EAGAIN, EBADF, EFBIG, EINVAL, EOVERFLOW, LinuxError, from_oserror
from pysentry.kernel import host
from pysentry.kernel.description import (
    DESC_OWN_POS,
    MAX_RW_COUNT,
    O_APPEND,
    PIPE_BUF,
    POLLIN,
    POLLOUT,
    SHARED,
    SIGPIPE,
)
from pysentry.kernel.file import FileDescription, is_limited
from pysentry.kernel.wait import Interrupted, wait_ready
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.description import Description
    from pysentry.kernel.task import Task

_CHUNK = 1 << 20
_POSITION_MAX, _WRAPS = (1 << 63) - 1, 1 << 64
_SPLICE_NONBLOCK = 2
_PIPE_SIZE = 65536  # what a pipe holds unless it was resized


class End:
    """One side of a transfer: a description, and where in it: a place of the caller's (`at`), or its own position."""

    __slots__ = ("at", "description")

    def __init__(self, description: Description, at: int | None) -> None:
        self.description, self.at = description, at

    def host_offset(self) -> int | None:
        """What to pass to a host call: None where the host descriptor's own position is the right one."""
        c = self.description.c
        return c.pos if self.at is None and c.flags & DESC_OWN_POS else self.at

    def advance(self, count: int) -> None:
        """After a host call that moved bytes; the host has moved the positions it knows."""
        if self.at is not None:
            self.at += count
        elif self.description.c.flags & DESC_OWN_POS:
            self.description.c.pos += count


async def send_file(task: Task, source: End, target: Description, count: int) -> int:
    """sendfile(2), from a file to anything: bytes moved."""
    is_file = isinstance(target, FileDescription)
    if is_file and target.c.open_flags & O_APPEND:
        raise EINVAL("sendfile to an O_APPEND file")
    if source.description.c.kind not in (lib.DESC_FILE, lib.DESC_CHR, lib.DESC_PYTHON):
        raise EINVAL("sendfile from something without a position")

    def by_host(left: int) -> int:
        sent = os.sendfile(target.c.host_fd, source.description.c.host_fd, source.host_offset(), left)
        source.advance(sent)
        return sent

    def by_copy(left: int) -> int:
        return _copy(task, source, End(target, None), left)

    is_generated = source.description.c.host_fd < 0
    attempt = by_copy if is_file or is_generated or target.c.flags & SHARED else by_host
    count = min(count, MAX_RW_COUNT)
    return await _move(task, source.description, target, count, attempt, not target.is_nonblocking, is_whole=True)


async def splice(task: Task, source: End, target: End, count: int, is_nonblocking: bool) -> int:
    """splice(2), one side is a pipe: bytes moved, what there is without waiting for more."""
    taking, giving = source.description, target.description
    if isinstance(giving, FileDescription) and giving.c.open_flags & O_APPEND:
        raise EINVAL("splice to an O_APPEND file")

    def attempt(left: int) -> int:
        for description, events in ((taking, POLLIN), (giving, POLLOUT)):
            if description.c.flags & SHARED:  # may block: go by what poll promises
                if not host.poll_now(((description.c.host_fd, events),))[0]:
                    raise BlockingIOError(11, "not ready")
                left = min(left, PIPE_BUF)
        moved = os.splice(
            taking.c.host_fd,
            giving.c.host_fd,
            left,
            offset_src=source.host_offset(),
            offset_dst=target.host_offset(),
            flags=_SPLICE_NONBLOCK,
        )
        source.advance(moved)
        target.advance(moved)
        return moved

    if any(each.c.host_fd < 0 and not each.is_file_like for each in (taking, giving)):
        raise EINVAL("not to be spliced")

    def by_copy(left: int) -> int:
        return _copy(task, source, target, min(left, _PIPE_SIZE))

    may_wait = not (is_nonblocking or taking.is_nonblocking or giving.is_nonblocking)
    is_copied = taking.c.host_fd < 0 or giving.c.host_fd < 0 or is_limited(giving.c)
    chosen = by_copy if is_copied else attempt
    return await _move(task, taking, giving, min(count, MAX_RW_COUNT), chosen, may_wait, is_whole=False)


async def tee(task: Task, source: Description, target: Description, count: int, is_nonblocking: bool) -> int:
    """tee(2), both are pipes: bytes copied, which stay in the source."""

    def attempt(left: int) -> int:
        try:
            return host.tee(source.c.host_fd, target.c.host_fd, left)
        except EAGAIN:
            raise BlockingIOError(11, "not ready") from None

    may_wait = not (is_nonblocking or source.is_nonblocking or target.is_nonblocking)
    return await _move(task, source, target, min(count, MAX_RW_COUNT), attempt, may_wait, is_whole=False)


async def copy_file_range(task: Task, source: End, target: End, count: int) -> int:
    """copy_file_range(2) between regular files: bytes copied, short at the source's end or a limit."""
    taking, giving = source.description, target.description
    if giving.c.open_flags & O_APPEND:
        raise EBADF("copy_file_range to an O_APPEND file")
    # generic_copy_file_checks() in Linux fs/read_write.c, in its order
    start, to = (end.at if end.at is not None else end.description.seek(0, 1) for end in (source, target))
    if max(start % _WRAPS, to % _WRAPS) + count >= _WRAPS:
        raise EOVERFLOW("the range wraps")
    if to == _POSITION_MAX:
        raise EFBIG("position")
    if taking.c.inode == giving.c.inode:
        there = min(count, max(0, os.fstat(taking.c.host_fd).st_size - start))
        if there and start < to + there and to < start + there:
            raise EINVAL("ranges overlap")
    if start < 0 or to < 0:
        raise EINVAL("negative offset")
    count = min(count, _POSITION_MAX - max(start, to))

    def attempt(left: int) -> int:
        return _copy(task, source, target, left)

    return await _move(task, taking, giving, min(count, MAX_RW_COUNT), attempt, may_wait=False, is_whole=True)


def _copy(task: Task, source: End, target: End, count: int) -> int:
    """One read and one write. What was read and not written is given back: 0 at the end of the source."""
    data = source.description.host_read(min(count, _CHUNK), source.at)
    written = 0
    try:
        if data:
            written = target.description.host_write(task, data, target.at)
    finally:
        if source.at is not None:
            source.at += written
        elif written < len(data):
            source.description.unread(len(data) - written)
        if target.at is not None:
            target.at += written
    return written


async def _move(
    task: Task,
    source: Description,
    target: Description,
    count: int,
    attempt: Callable[[int], int],
    may_wait: bool,
    is_whole: bool,
) -> int:
    """Tries until something moved (is_whole: until all did, or the source ended); waits for the end not ready."""
    done = 0
    lib.desc_ref(source.c)
    lib.desc_ref(target.c)
    try:
        while done < count:
            try:
                moved = attempt(count - done)
            except BlockingIOError:
                if not may_wait:
                    raise EAGAIN("would block") from None
                is_source_ready = source.c.host_fd < 0 or bool(host.poll_now(((source.c.host_fd, POLLIN),))[0])
                await wait_ready(task, ((target.c, POLLOUT),) if is_source_ready else ((source.c, POLLIN),))
                continue
            except OSError as error:
                if error.errno == 32 and target.signals_epipe:
                    task.send_signal(SIGPIPE)
                raise from_oserror(error) from None
            done += moved
            if not moved or not is_whole:
                break
    except (Interrupted, LinuxError):
        if not done:
            raise
    finally:
        lib.desc_unref(source.c)
        lib.desc_unref(target.c)
    return done
