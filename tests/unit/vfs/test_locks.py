"""File locks: ranges against a model byte by byte, owners, waiting, deadlock."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from itertools import pairwise
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.kernel.task import group_of
from pysentry.platform import hooks
from pysentry.platform.native import ffi, lib
from pysentry.vfs import locks
from pysentry.vfs.locks import F_RDLCK, F_UNLCK, F_WRLCK, _FileLocks
from tests.unit.kernel.calls import Call, connect_hooks
from tests.unit.vfs.kernel_in_process import Kernel, tmpfs_kernel

FLOCK = Struct("=hh4xqqi4x")
SIZE = 12
OFD_SETLK, OFD_GETLK = 37, 36


def closed(task, desc) -> None:  # type: ignore[no-untyped-def]
    locks.on_fd_closed(task.c.files, desc)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    connect_hooks()
    hooks.on_fd_closed.append(closed)
    made = tmpfs_kernel()
    made.write_file("/f", b"0123456789")
    yield made
    made.end()
    hooks.on_fd_closed.remove(closed)


class Process(Kernel):
    """Another process of the same kernel: its own descriptor table."""

    def __init__(self, first: Kernel, pid: int) -> None:
        super().__init__(first.task.fs.root)
        self.task.group = group_of(self._group)
        self._group.ns_tgid = pid


def request(kind: int, start: int = 0, length: int = 0, whence: int = os.SEEK_SET) -> bytearray:
    return bytearray(FLOCK.pack(kind, whence, start, length, 0))


def opened(kernel: Kernel, flags: int = os.O_RDWR) -> int:
    return kernel.open("/f", flags)


ranges = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)).map(lambda pair: (min(pair), max(pair)))
steps = st.lists(st.tuples(st.integers(0, 2), ranges, st.sampled_from([F_RDLCK, F_WRLCK, F_UNLCK])), max_size=25)


@given(steps)
def test_ranges_against_a_model(steps: list[tuple[int, tuple[int, int], int]]) -> None:
    file = _FileLocks(-1, None)
    model: dict[int, list[int]] = {who: [F_UNLCK] * SIZE for who in range(3)}
    for who, (start, end), kind in steps:
        owner = ("table", who)
        is_free = all(
            F_WRLCK not in (kind, model[other][at]) or model[other][at] == F_UNLCK
            for other in model
            if other != who
            for at in range(start, end + 1)
        )
        if kind != F_UNLCK:
            assert (file.blocker(start, end, kind, owner) is None) == is_free
            if not is_free:
                continue
        file.replace(start, end, kind, owner, 1)
        model[who][start : end + 1] = [kind] * (end - start + 1)
        for each, expected in model.items():
            held = [F_UNLCK] * SIZE
            mine = [one for one in file.ranges if one.owner == ("table", each)]
            for one in mine:
                held[one.start : one.end + 1] = [one.kind] * (one.end - one.start + 1)
            assert held == expected
            for before, after in pairwise(mine):
                assert before.end < after.start
                assert before.end + 1 < after.start or before.kind != after.kind


def test_record_locks_are_the_processes(kernel: Kernel) -> None:
    other = Process(kernel, 42)
    mine, theirs = opened(kernel), opened(other)
    assert Call(other, "fcntl", theirs, fcntl.F_SETLK, request(F_WRLCK, 2, 4)).result == 0
    assert Call(kernel, "fcntl", mine, fcntl.F_SETLK, request(F_RDLCK, 5, 1)).errno == errno.EAGAIN
    assert Call(kernel, "fcntl", mine, fcntl.F_SETLK, request(F_RDLCK, 6, 1)).result == 0
    asked = request(F_WRLCK)
    assert Call(kernel, "fcntl", mine, fcntl.F_GETLK, asked).result == 0
    assert FLOCK.unpack(asked) == (F_WRLCK, os.SEEK_SET, 2, 4, 42)
    assert Call(other, "fcntl", theirs, fcntl.F_SETLK, request(F_WRLCK, 0, 2)).result == 0


def test_closing_any_descriptor_of_the_file_gives_record_locks_up(kernel: Kernel) -> None:
    other = Process(kernel, 2)
    holder, innocent = opened(kernel), opened(kernel, os.O_RDONLY)
    assert Call(kernel, "fcntl", holder, fcntl.F_SETLK, request(F_WRLCK)).result == 0
    waiting = Call(other, "fcntl", opened(other), fcntl.F_SETLKW, request(F_WRLCK))
    assert waiting.is_waiting
    assert waiting.wake().is_waiting
    kernel.close(innocent)
    assert waiting.wake().result == 0


def test_description_locks_live_until_the_last_close(kernel: Kernel) -> None:
    first = opened(kernel)
    copy, second = kernel.call("dup", first), opened(kernel)
    assert Call(kernel, "fcntl", first, OFD_SETLK, request(F_WRLCK)).result == 0
    kernel.close(first)
    assert Call(kernel, "fcntl", second, OFD_SETLK, request(F_RDLCK)).errno == errno.EAGAIN
    asked = request(F_RDLCK)
    Call(kernel, "fcntl", second, OFD_GETLK, asked)
    assert FLOCK.unpack(asked)[4] == -1
    kernel.close(copy)
    assert Call(kernel, "fcntl", second, OFD_SETLK, request(F_RDLCK)).result == 0


def test_deadlock(kernel: Kernel) -> None:
    other = Process(kernel, 2)
    mine, theirs = opened(kernel), opened(other)
    Call(kernel, "fcntl", mine, fcntl.F_SETLK, request(F_WRLCK, 0, 1))
    Call(other, "fcntl", theirs, fcntl.F_SETLK, request(F_WRLCK, 1, 1))
    waiting = Call(kernel, "fcntl", mine, fcntl.F_SETLKW, request(F_WRLCK, 1, 1))
    assert waiting.is_waiting
    assert Call(other, "fcntl", theirs, fcntl.F_SETLKW, request(F_WRLCK, 0, 1)).errno == errno.EDEADLK
    waiting.give_up()
    retried = Call(other, "fcntl", theirs, fcntl.F_SETLKW, request(F_WRLCK, 0, 1))
    assert retried.is_waiting
    retried.give_up()


@pytest.mark.parametrize(
    ("lock", "error"),
    [
        (request(F_RDLCK, -1), errno.EINVAL),
        (request(F_RDLCK, 1, -2), errno.EINVAL),
        (request(F_RDLCK, 1, 1, 3), errno.EINVAL),
        (request(9), errno.EINVAL),
        (request(F_RDLCK, (1 << 63) - 1, 2), errno.EOVERFLOW),
    ],
)
def test_ranges_that_are_none(kernel: Kernel, lock: bytearray, error: int) -> None:
    assert Call(kernel, "fcntl", opened(kernel), fcntl.F_SETLK, lock).errno == error


def test_a_lock_needs_the_access(kernel: Kernel) -> None:
    reader, writer = opened(kernel, os.O_RDONLY), opened(kernel, os.O_WRONLY)
    assert Call(kernel, "fcntl", reader, fcntl.F_SETLK, request(F_WRLCK)).errno == errno.EBADF
    assert Call(kernel, "fcntl", writer, fcntl.F_SETLK, request(F_RDLCK)).errno == errno.EBADF


def test_flock(kernel: Kernel) -> None:
    first, second = opened(kernel), opened(kernel, os.O_RDONLY)
    assert Call(kernel, "flock", first, fcntl.LOCK_SH).result == 0
    assert Call(kernel, "flock", second, fcntl.LOCK_SH).result == 0
    assert Call(kernel, "flock", first, fcntl.LOCK_EX | fcntl.LOCK_NB).errno == errno.EAGAIN
    assert Call(kernel, "flock", second, fcntl.LOCK_EX).result == 0  # the failed upgrade gave the shared lock up
    waiting = Call(kernel, "flock", first, fcntl.LOCK_SH)
    kernel.close(second)
    assert waiting.wake().result == 0
    assert Call(kernel, "flock", first, 64).errno == errno.EINVAL


def test_nothing_is_kept_when_nothing_is_locked(kernel: Kernel) -> None:
    fd = opened(kernel)
    inode = lib.fd_get(kernel.task.c, fd).inode
    for call in (("flock", fd, fcntl.LOCK_EX), ("fcntl", fd, fcntl.F_SETLK, request(F_WRLCK))):
        assert Call(kernel, *call).result == 0
        assert inode.flags & lib.INODE_LOCKS
    Call(kernel, "flock", fd, fcntl.LOCK_UN)
    Call(kernel, "fcntl", fd, fcntl.F_SETLK, request(F_UNLCK))
    assert not inode.flags & lib.INODE_LOCKS
    assert inode.id not in locks._files
    assert inode != ffi.NULL
