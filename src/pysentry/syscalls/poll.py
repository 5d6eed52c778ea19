"""poll(2), ppoll(2), select(2), pselect6(2): arguments in, results and remaining time out."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EBADF, EFAULT, EINVAL, LinuxError
from pysentry.kernel.description import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM
from pysentry.kernel.poll import deadline_after, remaining, use_signal_mask, wait_for_any
from pysentry.kernel.wait import Interrupted
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_POLLFD = Struct("=iHH")
_TIMESPEC = Struct("=qq")
_ARGPACK = Struct("=QQ")
_RLIMIT_NOFILE = 7
_NR_OPEN_DEFAULT = 64
_POLLRDBAND, _POLLWRBAND = 0x80, 0x200
# What select(2) calls readable, writable and exceptional: POLLIN_SET and so on of fs/select.c.
_READABLE = POLLRDNORM | _POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL
_WRITABLE = _POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL
_EXCEPTIONAL = POLLPRI | POLLNVAL


@syscall(restart="nohand")
async def poll(task: Task, fds: UserAddr, nfds: int, timeout_ms: int) -> int:
    deadline_ns = None if timeout_ms < 0 else deadline_after(*divmod(timeout_ms * 1_000_000, 1_000_000_000))
    return await _poll(task, fds, nfds, deadline_ns)


@syscall(restart="nohand")
async def ppoll(
    task: Task, fds: UserAddr, nfds: int, timeout: UserAddr, sigmask: UserAddr, sigsetsize: int
) -> int:
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    use_signal_mask(task, sigmask, sigsetsize)
    with _TimeLeft(task, timeout, deadline_ns, 1):
        return await _poll(task, fds, nfds, deadline_ns)


async def _poll(task: Task, fds: UserAddr, nfds: int, deadline_ns: int | None) -> int:
    if nfds > task.group.c.rlimit_cur[_RLIMIT_NOFILE]:
        raise EINVAL("nfds")
    entries = list(_POLLFD.iter_unpack(task.memory.read(fds, nfds * _POLLFD.size))) if nfds else []
    wants: list[tuple[CDescription | None, int]] = []
    places: list[int] = []
    for place, (fd, events, _) in enumerate(entries):
        if fd >= 0:
            wants.append((_open_or_none(task, fd), events | POLLERR | POLLHUP))
            places.append(place)
    found = await wait_for_any(task, wants, deadline_ns)
    revents = [0] * nfds
    for place, seen in zip(places, found, strict=True):
        revents[place] = seen
    # Only revents is ours to write; but for a program that watches, rewriting fd and events is the same.
    if nfds:
        packed = b"".join(_POLLFD.pack(fd, ev, seen) for (fd, ev, _), seen in zip(entries, revents, strict=True))
        task.memory.write(fds, packed)
    return sum(1 for seen in revents if seen)


@syscall(restart="nohand")
async def select(
    task: Task, nfds: int, readfds: UserAddr, writefds: UserAddr, exceptfds: UserAddr, timeout: UserAddr
) -> int:
    deadline_ns = None
    if timeout:
        seconds, microseconds = task.memory.read_struct(timeout, _TIMESPEC)
        carry, microseconds = (microseconds // 1_000_000, microseconds % 1_000_000) if microseconds >= 0 else (0, -1)
        deadline_ns = deadline_after(seconds + carry, microseconds * 1000)
    with _TimeLeft(task, timeout, deadline_ns, 1000):
        return await _select(task, nfds, (readfds, writefds, exceptfds), deadline_ns)


@syscall(restart="nohand")
async def pselect6(
    task: Task, nfds: int, readfds: UserAddr, writefds: UserAddr, exceptfds: UserAddr, timeout: UserAddr, sig: UserAddr
) -> int:
    """`sig` points to {const sigset_t *mask; size_t size}: six arguments are all there are."""
    mask_address, mask_size = task.memory.read_struct(sig, _ARGPACK) if sig else (0, 0)
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    use_signal_mask(task, mask_address, mask_size)
    with _TimeLeft(task, timeout, deadline_ns, 1):
        return await _select(task, nfds, (readfds, writefds, exceptfds), deadline_ns)


async def _select(
    task: Task, nfds: int, sets: tuple[UserAddr, UserAddr, UserAddr], deadline_ns: int | None
) -> int:
    if nfds < 0:
        raise EINVAL("nfds")
    nfds = min(nfds, max(task.fd_table.c.capacity, _NR_OPEN_DEFAULT))  # as core_sys_select: larger ones cannot be open
    size = (nfds + 63) // 64 * 8
    asked = [int.from_bytes(task.memory.read(s, size), "little") & ((1 << nfds) - 1) if s and size else 0 for s in sets]
    readable, writable, exceptional = asked
    wants: list[tuple[CDescription | None, int]] = []
    numbers: list[int] = []
    union = readable | writable | exceptional
    while union:
        bit = union & -union
        union ^= bit
        fd = bit.bit_length() - 1
        events = (
            (_READABLE if readable & bit else 0)
            | (_WRITABLE if writable & bit else 0)
            | (_EXCEPTIONAL if exceptional & bit else 0)
        )
        wants.append((task.fd_table.get(fd), events))  # EBADF
        numbers.append(fd)
    result, count = [0, 0, 0], 0
    found = await wait_for_any(task, wants, deadline_ns)
    for fd, seen in zip(numbers, found, strict=True):
        for index, wanted in enumerate((_READABLE, _WRITABLE, _EXCEPTIONAL)):
            if asked[index] >> fd & 1 and seen & wanted:
                result[index] |= 1 << fd
                count += 1
    for address, bits in zip(sets, result, strict=True):
        if address and size:
            task.memory.write(address, bits.to_bytes(size, "little"))
    return count


def _open_or_none(task: Task, fd: int) -> CDescription | None:
    try:
        c = task.fd_table.get(fd)
    except EBADF:
        return None
    return None if c.kind == lib.DESC_PATH else c


class _TimeLeft:
    """Writes what remains of a timeout back, however the wait ended: poll_select_finish of fs/select.c."""

    __slots__ = ("address", "deadline_ns", "task", "unit_ns")

    def __init__(self, task: Task, address: UserAddr, deadline_ns: int | None, unit_ns: int) -> None:
        self.task, self.address, self.deadline_ns, self.unit_ns = task, address, deadline_ns, unit_ns

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if not self.deadline_ns or (kind is not None and not issubclass(kind, (LinuxError, Interrupted))):
            return
        seconds, nanoseconds = remaining(self.deadline_ns)
        try:
            self.task.memory.write_struct(self.address, _TIMESPEC, seconds, nanoseconds // self.unit_ns)
        except EFAULT:
            pass  # a timeout in read-only memory stays as it is
