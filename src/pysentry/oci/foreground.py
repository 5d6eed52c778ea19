"""`run` without --detach: we stay the parent of the container, hand it our signals and terminal, and delete it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os

from pysentry.oci import client, console, ending, lifecycle, proxy
from pysentry.oci.errors import ConsoleError, OciError
from pysentry.oci.host_process import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.lifecycle import Request
    from pysentry.oci.log import Log
    from pysentry.oci.settings import Settings
    from pysentry.oci.state import Record, Store


def run_container(store: Store, request: Request, settings: Settings, log: Log, *, is_kept: bool) -> int:
    """The exit status for the shell."""
    master = None
    record = lifecycle.create(store, request, settings, log)
    try:
        master = _receive_master(request)
        # From here on the container gets our signals. It is a child of ours until we wait for it.
        signals = proxy.Signals()
        _signal.signal(proxy.SIGCHLD, _signal.SIG_DFL)
        try:
            lifecycle.start(store, request.identity, log)
        except OciError:
            record.sentry.signal(SIGKILL)
            raise
        status = _wait(store, record, signals, master)
    finally:
        if not is_kept:
            ending.delete(store, request.identity, is_forced=True, log=log)
    return proxy.shell_status(status)


def _receive_master(request: Request) -> int | None:
    """The terminal's, if the container has one: it was sent before `create` was done."""
    if request.console is None:
        return None
    rights = _socket.CMSG_SPACE(4)
    try:
        _, control, _, _ = request.console.recvmsg(64, rights, _socket.MSG_CMSG_CLOEXEC | _socket.MSG_DONTWAIT)
    except OSError:
        control = []
    request.console.close()
    for level, kind, data in control:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS) and len(data) >= 4:
            return int.from_bytes(data[:4], "little")
    raise ConsoleError("the sandbox sent no terminal")


def _wait(store: Store, record: Record, signals: proxy.Signals, master: int | None) -> int:
    ended = os.pidfd_open(record.sentry.pid)

    def forward(number: int) -> None:
        try:
            with store.look(record.identity) as directory:
                client.signal(directory, number, is_for_all=False)
        except OciError:
            pass  # it is ending

    def reap() -> int:
        return os.waitpid(record.sentry.pid, 0)[1]

    if master is None:
        return proxy.attend(ended, reap, forward, signals, None)
    with console.Relay(master) as relay:
        return proxy.attend(ended, reap, forward, signals, relay)
