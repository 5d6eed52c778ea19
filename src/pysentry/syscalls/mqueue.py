"""mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2)."""

from __future__ import annotations

import os
import time
from struct import Struct

from pysentry.abi.errno import EACCES, EBADF, EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTSOCK
from pysentry.abi.stat import S_IFREG
from pysentry.kernel import mqueue
from pysentry.kernel.description import O_ACCMODE, O_NONBLOCK, description_of
from pysentry.kernel.mqueue import Notice
from pysentry.net.netlink import NetlinkSocket
from pysentry.net.socket import Socket
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs.dentry import attach
from pysentry.vfs.filesystems.mqueue import mqueue_file_system
from pysentry.vfs.permissions import MAY_READ, MAY_WRITE, check_may_delete, check_permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_ATTR = Struct("=qqqq32x")  # struct mq_attr: flags, maxmsg, msgsize, curmsgs
_SIGEVENT = Struct("=Qii48x")  # struct sigevent: value, signo, notify
_TIMESPEC = Struct("=qq")
_UINT = Struct("=I")
_SIGEV_SIGNAL, _SIGEV_NONE, _SIGEV_THREAD = range(3)
_SIGNAL_MAX = 64
_COOKIE_BYTES = 32
_WOKEN_UP, _REMOVED = b"\1", b"\2"  # NOTIFY_WOKENUP, NOTIFY_REMOVED
_NAME_MAX = 255
_ACCESS = {os.O_RDONLY: MAY_READ, os.O_WRONLY: MAY_WRITE, os.O_RDWR: MAY_READ | MAY_WRITE}


@syscall
def mq_open(task: Task, name: UserAddr, oflag: int, mode: int, attr: UserAddr) -> int:
    """O_CLOEXEC is always on."""
    wanted = task.memory.read_struct(attr, _ATTR)[1:3] if attr and oflag & os.O_CREAT else None
    text = _name(task, name)
    queues = mqueue_file_system()
    with task.fd_table.reserve(1, cloexec=True) as slots:
        dentry = queues.lookup(task, queues.sb.root, text)
        shown = oflag & (O_ACCMODE | O_NONBLOCK)
        if dentry is None:
            if not oflag & os.O_CREAT:
                raise ENOENT("no such queue")
            access = S_IFREG | mode & 0o777 & ~task.umask
            dentry, made = queues.create_queue(task, text, access, task.cred.fsuid, task.cred.fsgid, wanted, shown)
        else:
            if oflag & os.O_CREAT and oflag & os.O_EXCL:
                raise EEXIST("queue")
            if oflag & O_ACCMODE not in _ACCESS:
                raise EINVAL("access mode")
            check_permission(task.c.cred, dentry.inode, _ACCESS[oflag & O_ACCMODE])
            made = queues.open(task, dentry, shown)
        attach(made, dentry)
        slots.install(made)
    return slots.fds[0]


def _name(task: Task, address: UserAddr) -> bytes:
    text = task.memory.read_cstr(address)
    if not text:
        raise ENOENT("name")
    if len(text) > _NAME_MAX:
        raise ENAMETOOLONG("name")
    if b"/" in text or text in (b".", b".."):
        raise EACCES("name")
    return text


@syscall
def mq_unlink(task: Task, name: UserAddr) -> int:
    text = _name(task, name)
    queues = mqueue_file_system()
    dentry = queues.lookup(task, queues.sb.root, text)
    if dentry is None:
        raise ENOENT("no such queue")
    check_may_delete(task.c.cred, queues.sb.root, dentry, False)
    queues.unlink(dentry)
    return 0


@syscall
async def mq_timedsend(
    task: Task, mqdes: int, msg_ptr: UserAddr, msg_len: int, msg_prio: int, abs_timeout: UserAddr
) -> int:
    deadline_ns = _deadline(task, abs_timeout)
    if msg_prio >= mqueue.PRIORITY_MAX:
        raise EINVAL("priority")
    found = mqueue.opened(task, mqdes, os.O_RDONLY)
    mqueue.check_size(found.queue, msg_len, is_whole=False)
    await found.send(task, task.memory.read(msg_ptr, msg_len), msg_prio, deadline_ns)
    return 0


@syscall
async def mq_timedreceive(
    task: Task, mqdes: int, msg_ptr: UserAddr, msg_len: int, msg_prio: UserAddr, abs_timeout: UserAddr
) -> int:
    deadline_ns = _deadline(task, abs_timeout)
    found = mqueue.opened(task, mqdes, os.O_WRONLY)
    mqueue.check_size(found.queue, msg_len, is_whole=True)
    priority, text = await found.receive(task, deadline_ns)
    if msg_prio:
        task.memory.write_struct(msg_prio, _UINT, priority)
    task.memory.write(msg_ptr, text)
    return len(text)


def _deadline(task: Task, address: UserAddr) -> int | None:
    """CLOCK_MONOTONIC for an absolute time of CLOCK_REALTIME."""
    if not address:
        return None
    seconds, nanoseconds = task.memory.read_struct(address, _TIMESPEC)
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise EINVAL("timeout")
    left_ns = int(seconds * 1_000_000_000 + nanoseconds) - time.time_ns()
    return min(max(int(lib.sentry_now_ns()) + left_ns, 1), (1 << 63) - 1)


@syscall
def mq_getsetattr(task: Task, mqdes: int, newattr: UserAddr, oldattr: UserAddr) -> int:
    new = task.memory.read_struct(newattr, _ATTR) if newattr else None
    if new is not None and new[0] & ~O_NONBLOCK:
        raise EINVAL("mq_flags")
    found = mqueue.opened(task, mqdes)
    old = mqueue.attributes(found)
    if new is not None:
        found.c.open_flags = found.c.open_flags & ~O_NONBLOCK | new[0]
    if oldattr:
        task.memory.write_struct(oldattr, _ATTR, *old)
    return 0


@syscall
def mq_notify(task: Task, mqdes: int, notification: UserAddr) -> int:
    if not notification:
        mqueue.opened(task, mqdes).queue.unregister(task.group)
        return 0
    value, number, kind = task.memory.read_struct(notification, _SIGEVENT)
    if kind == _SIGEV_SIGNAL:
        if not 0 <= number <= _SIGNAL_MAX:
            raise EINVAL("signal")
        notice = Notice(task.group, number, mqueue.notify_by_signal(task.group, number, value))
    elif kind == _SIGEV_NONE:
        notice = Notice(task.group, -1, lambda _: None)
    elif kind == _SIGEV_THREAD:
        notice = _by_thread(task, number, value)
    else:
        raise EINVAL("sigev_notify")
    mqueue.opened(task, mqdes).queue.register(notice)
    return 0


def _by_thread(task: Task, fd: int, cookie_at: UserAddr) -> Notice:
    """SIGEV_THREAD: libc waits at a netlink socket for its cookie, whose last byte says what happened."""
    cookie = task.memory.read(cookie_at, _COOKIE_BYTES)
    c = task.fd_table.get(fd)
    socket = description_of(c)
    if not isinstance(socket, Socket):
        raise ENOTSOCK("sigev_signo") if c.kind != lib.DESC_PATH else EBADF("O_PATH")
    if not isinstance(socket, NetlinkSocket):
        raise EINVAL("not a netlink socket")
    send = socket.sender()
    return Notice(task.group, -2, lambda sender: send(cookie[:-1] + (_REMOVED if sender is None else _WOKEN_UP)))
