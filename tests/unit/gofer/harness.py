"""A gofer in a forked process, as root or as an unprivileged user, and a client for it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gofer.client import GoferClient
from gofer.server import serve
from gofer.transport import SocketTransport
from gofer.tree import Tree

NOBODY = 65534
MORTAL = 12345  # an unprivileged user whose number is not the one that stands for unmapped ids


def drop_to(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


IdRanges = Sequence[Sequence[tuple[int, int, int]]]


def fork_gofer(
    trees: Sequence[Tree], uid: int | None = None, is_following: bool = True, id_ranges: IdRanges = ((), ())
) -> tuple[int, socket.socket]:
    """The process and the sentry's end of the socket; `uid` None: as we are."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            if uid is not None:
                drop_to(uid)
            serve(theirs.fileno(), trees, is_following=is_following, id_ranges=id_ranges)
        finally:
            os._exit(77)
    theirs.close()
    return pid, ours


class Gofer:
    """A running gofer that has been greeted. `tree_flags` is what it said."""

    def __init__(self, trees: Sequence[Tree], uid: int | None = None, id_ranges: IdRanges = ((), ())) -> None:
        self.pid, sock = fork_gofer(trees, uid, id_ranges=id_ranges)
        self.transport = SocketTransport(sock.detach())
        self.client = GoferClient(self.transport)
        try:
            self.tree_flags = self.transport.wait_for_setup()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """Hangs up and returns the exit status (negative: a signal's number)."""
        self.transport.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


@contextmanager
def gofer(*trees: Tree, uid: int | None = None, id_ranges: IdRanges = ((), ())) -> Iterator[GoferClient]:
    """A client; at the end the gofer must exit by itself and with success."""
    process = Gofer(trees, uid, id_ranges)
    try:
        yield process.client
    except BaseException:
        process.stop()
        raise
    assert process.stop() == 0


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that other users may pass through, which pytest's tmp_path is not."""
    path = Path(tempfile.mkdtemp(prefix="gofer-test-", dir="/var/tmp"))
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path)
