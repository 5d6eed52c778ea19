"""Verbs in forked children of the test, with a sentry that only speaks the protocols: quick, and can be made to stop
anywhere. What the real one does with a container is tests/oci's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from pysentry.cli import verbs
from pysentry.oci import cgroups, proxy
from pysentry.sandbox import launcher
from pysentry.sandbox.messages import receive, send

TERM = int(signal.SIGTERM)


def launch_container(config: Any, before: Callable[[str], None] = lambda stage: None) -> NoReturn:
    """As sandbox.launcher's. Pid 1 ends with status 0 on SIGTERM, and of any other signal by it; a program that is
    called "exit N" ends so at once. before: called with a stage's name before it is told."""
    container = config.container
    boot = socket.socket(fileno=container.boot_fd)
    control = socket.socket(fileno=container.control_fd)
    os.closerange(0, 3)
    for stage in ("namespaces", "ready"):
        before(stage)
        try:
            send(boot, {"stage": stage, "pid": os.getpid()})
            answer = receive(boot)[0] if stage == "namespaces" else {"go": True}
        except OSError:
            answer = None
        if answer is None:
            os._exit(99)
    boot.close()
    _serve(control, config.process.argv)
    os._exit(98)


def _serve(control: socket.socket, argv: list[str]) -> None:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    clients: dict[int, socket.socket] = {}
    status = "created"
    while True:
        for fd, _ in poll.poll():
            if fd == control.fileno():
                client = control.accept()[0]
                clients[client.fileno()] = client
                poll.register(client, select.POLLIN)
                continue
            client = clients[fd]
            try:
                request, descriptors = receive(client)
            except OSError:
                request, descriptors = None, []
            for one in descriptors:
                os.close(one)
            if request is None:
                poll.unregister(client)
                clients.pop(fd).close()
                continue
            answer, ending = _answer(request, status)
            if request["op"] == "start" and "ok" in answer:
                status = "running"
                if argv[0] == "exit":
                    ending = int(argv[1]) << 8
            with contextlib.suppress(OSError):
                send(client, answer)
                if request["op"] == "exec":
                    send(client, {"exited": 7 << 8})
            if ending is not None:
                proxy.end_as(ending)


def _answer(request: dict[str, Any], status: str) -> tuple[dict[str, Any], int | None]:
    """The answer, and the wait status of pid 1 if it ends now."""
    match request["op"]:
        case "start" if status == "running":
            return {"error": "cannot start an already running container"}, None
        case "signal":
            return {"ok": True}, 0 if request["signal"] == TERM else request["signal"]
        case "status":
            return {"status": status, "pid": os.getpid()}, None
        case "pids":
            return {"pids": [os.getpid()]}, None
        case "exec":
            return {"ok": True, "pid": 2, "host_pid": os.getpid()}, None
        case "stats":
            return {"report": {}}, None
        case _:
            return {"ok": True}, None


def start_verb(
    words: list[str],
    output: int | None = None,
    before: Callable[[str], None] = lambda stage: None,
    *,
    rests: bool = False,
) -> int:
    """The pid of a child that runs a command line. output: becomes its stdout and stderr; else they go nowhere.
    rests: it begins with SIGCONT, so that several begin at once."""
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        for fd in (1, 2):
            os.dup2(null if output is None else output, fd)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        launcher.launch_container = lambda config: launch_container(config, before)
        cgroups.make = lambda *_: (cgroups.NONE, [])
        cgroups.plan = lambda *_: cgroups.NONE
        if rests:
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(verbs.dispatch(words))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(97)


def run_verb(*words: str) -> tuple[int, str]:
    """(exit status, what it printed)."""
    output = os.memfd_create("output")
    try:
        pid = start_verb(list(words), output)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), os.pread(output, 1 << 20, 0).decode()
    finally:
        os.close(output)
