"""Linux asynchronous I/O: io_setup(2) and its kin. Contexts are kernel/aio's."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EBADF, EFAULT, EINTR, EINVAL, LinuxError, host_errors
from pysentry.abi.syscall_nr import NR_MMAP, NR_MUNMAP
from pysentry.kernel.aio import add_context, check_limit, find_context, remove_context
from pysentry.kernel.description import O_ACCMODE, description_of
from pysentry.kernel.poll import deadline_after, use_signal_mask
from pysentry.kernel.wait import Interrupted, host_call, wait_event
from pysentry.platform.native import lib
from pysentry.syscalls.limits import check_io_priority
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.aio import Context
    from pysentry.kernel.description import Description
    from pysentry.kernel.task import Task

_ULONG, _UINT = Struct("=Q"), Struct("=I")
_TIMESPEC, _ARGPACK = Struct("=qq"), Struct("=QQ")
_IOCB = Struct("=QIiHHIQQqQII")  # struct iocb
_PREAD, _PWRITE, _FSYNC, _FDSYNC, _PREADV, _PWRITEV = 0, 1, 2, 3, 7, 8
_IOCB_FLAG_RESFD, _IOCB_FLAG_IOPRIO = 1, 2
_RWF_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
_PAGE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS = 4096, 3, 0x22
_KEY_OFFSET = 8
_INTMAX = (1 << 63) - 1


@syscall
async def io_setup(task: Task, nr_events: int, ctxp: UserAddr) -> int:
    """The context's name is the address of a page that only has to be readable."""
    (given,) = task.memory.read_struct(ctxp, _ULONG)
    if given or not nr_events:
        raise EINVAL("context is not 0, or no events")
    check_limit(task.group, nr_events)
    address = await host_call(task, NR_MMAP, 0, _PAGE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, 0xFFFFFFFF, 0)
    try:
        task.memory.write_struct(ctxp, _ULONG, address)
    except EFAULT:
        await host_call(task, NR_MUNMAP, address, _PAGE)
        raise
    add_context(task.group, address, nr_events)
    return 0


@syscall
async def io_destroy(task: Task, ctx: int) -> int:
    remove_context(task.group, ctx)
    await host_call(task, NR_MUNMAP, ctx, _PAGE)
    return 0


@syscall
async def io_submit(task: Task, ctx: int, nr: int, iocbpp: UserAddr) -> int:
    """IOCB_CMD_POLL answers EINVAL, as before Linux 4.18."""
    if nr < 0:
        raise EINVAL("nr")
    context = find_context(task.group, ctx)
    done = 0
    try:
        for index in range(min(nr, context.limit)):
            (request,) = task.memory.read_struct(iocbpp + index * _ULONG.size, _ULONG)
            await _submit(task, context, request)
            done += 1
    except LinuxError:
        if not done:
            raise
    return done


async def _submit(task: Task, context: Context, request: UserAddr) -> None:
    """io_submit_one(): what is wrong with the request is raised, what goes wrong in it is its result."""
    got = task.memory.read_struct(request, _IOCB)
    data, _, rwf, opcode, priority, fd, buf, nbytes, offset, reserved, flags, resfd = got
    if reserved or nbytes > _INTMAX or flags & ~(_IOCB_FLAG_RESFD | _IOCB_FLAG_IOPRIO):
        raise EINVAL("iocb")
    context.check_room()
    description = description_of(task.fd_table.get(_signed(fd)))
    event_fd = task.fd_table.get(_signed(resfd)) if flags & _IOCB_FLAG_RESFD else None
    if event_fd is not None and event_fd.kind != lib.DESC_EVENTFD:
        raise EINVAL("not an eventfd")
    task.memory.write_struct(request + _KEY_OFFSET, _UINT, 0)
    if flags & _IOCB_FLAG_IOPRIO and opcode not in (_FSYNC, _FDSYNC):
        check_io_priority(priority)  # the host's disks order requests of their own: the rest has no effect
    lib.desc_ref(description.c)
    try:
        result = await _perform(task, description, opcode, buf, nbytes, offset, rwf)
    finally:
        lib.desc_unref(description.c)
    context.finish(data, request, result)
    if event_fd is not None:
        try:
            with host_errors():
                os.eventfd_write(event_fd.host_fd, 1)
        except EAGAIN:
            pass  # at its largest: the request is done all the same


async def _perform(
    task: Task, description: Description, opcode: int, buf: UserAddr, nbytes: int, offset: int, rwf: int
) -> int:
    c = description.c
    if opcode in (_FSYNC, _FDSYNC):
        if buf or offset or nbytes or rwf:
            raise EINVAL("fsync takes nothing")
        description.sync(data_only=opcode == _FDSYNC)
        return 0
    if opcode not in (_PREAD, _PWRITE, _PREADV, _PWRITEV) or rwf & ~_RWF_KNOWN:
        raise EINVAL("opcode or flags")
    is_write = opcode in (_PWRITE, _PWRITEV)
    if c.kind == lib.DESC_PATH or c.open_flags & O_ACCMODE == (os.O_RDONLY if is_write else os.O_WRONLY):
        raise EBADF("not open for that")
    if c.kind == lib.DESC_DIR or offset < 0:
        raise EINVAL("a directory, or the offset")
    vectors = task.memory.read_iovecs(buf, nbytes) if opcode in (_PREADV, _PWRITEV) else [(buf, nbytes)]
    at = offset if c.kind in (lib.DESC_FILE, lib.DESC_CHR, lib.DESC_PYTHON) else None
    try:
        return await (description.write if is_write else description.read)(task, vectors, at, rwf)
    except LinuxError as error:
        if isinstance(error, EAGAIN) and not rwf & 0x8:
            raise
        return -error.errno


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


@syscall
def io_cancel(task: Task, ctx: int, iocb: UserAddr, result: UserAddr) -> int:
    """Nothing is ever under way, so there is nothing to cancel: EINVAL."""
    (key,) = task.memory.read_struct(iocb + _KEY_OFFSET, _UINT)
    if key:
        raise EINVAL("key")
    find_context(task.group, ctx)
    raise EINVAL("finished already")


@syscall
async def io_getevents(
    task: Task, ctx: int, min_nr: int, nr: int, events: UserAddr, timeout: UserAddr
) -> int:
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    try:
        return await _collect(task, ctx, min_nr, nr, events, deadline_ns)
    except Interrupted:
        raise EINTR("never restarted") from None


@syscall(restart="nohand")
async def io_pgetevents(
    task: Task, ctx: int, min_nr: int, nr: int, events: UserAddr, timeout: UserAddr, usig: UserAddr
) -> int:
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    mask_address, mask_size = task.memory.read_struct(usig, _ARGPACK) if usig else (0, 0)
    use_signal_mask(task, mask_address, mask_size)
    return await _collect(task, ctx, min_nr, nr, events, deadline_ns)


async def _collect(
    task: Task, ctx: int, min_nr: int, nr: int, events: UserAddr, deadline_ns: int | None
) -> int:
    """read_events(): at least `min_nr`, unless the deadline comes first."""
    context = find_context(task.group, ctx)
    if min_nr < 0 or nr < 0 or min_nr > nr:
        raise EINVAL("min_nr")
    try:
        while len(context.finished) < min_nr:
            if not await wait_event(task, context.arrivals, deadline_ns):
                break
            if context.is_destroyed:
                raise EINVAL("destroyed")
    except Interrupted:
        if not context.finished:
            raise
    count = min(nr, len(context.finished))
    if count:
        task.memory.write(events, b"".join(context.finished[:count]))
        del context.finished[:count]
    return count
