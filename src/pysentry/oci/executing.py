"""`exec`: one more program in a running container, from its description to the process that stands for it.

Owns what the options of `exec` change in config.json's process, the request to the sentry, and the choice between
attached and detached. The process that waits is proxy.py's.
"""

from __future__ import annotations

import os

from pysentry.oci import client, console, ending, pidfile, proxy
from pysentry.oci.document import parse
from pysentry.oci.errors import CgroupError, ContainerFailedError, ExecStateError, NotRunningError, OciError, UsageError
from pysentry.oci.host_process import name_of_signal
from pysentry.oci.spec_process import Process, read_process
from pysentry.oci.state import CONFIG, CREATED, PAUSED, RUNNING
from pysentry.oci.translate_process import process_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from pysentry.oci.log import Log
    from pysentry.oci.state import Directory, Record, Store
    from pysentry.sandbox.messages import Document
    from pysentry.sandbox.process import ProcessSpec


class Execution:
    """What `exec` was asked for. argv: empty with process_file. user: UID[:GID] or "". tty: None: as the file says."""

    __slots__ = (
        "additional_gids",
        "argv",
        "capabilities",
        "console_socket",
        "cwd",
        "env",
        "ignores_pause",
        "is_detached",
        "no_new_privs",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "process_file",
        "tty",
        "user",
    )

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.process_file = ""
        self.cwd = ""
        self.user = ""
        self.env: list[str] = []
        self.additional_gids: list[int] = []
        self.capabilities: list[str] = []
        self.tty: bool | None = None
        self.no_new_privs: bool | None = None
        self.ignores_pause = False
        self.is_detached = False
        self.console_socket = ""
        self.pid_file = ""
        self.pidfd_socket = ""
        self.preserve_fds = 0


def execute(store: Store, identity: str, asked: Execution, log: Log) -> int:
    """Runs the program. Returns our exit status: the program's, or 0 when it was detached.

    Raises:
        ExecStateError: there is nothing to run it in. ContainerFailedError: it cannot be executed.
    """
    with store.look(identity) as directory:
        record = directory.load()
        _check_status(ending.status_of(directory, record), asked)
        process = _describe(directory, asked, log)
        console.check(process.terminal, asked.console_socket, asked.is_detached)
        if process.terminal and not asked.is_detached:
            process.is_relayed = True
            process.console_size = process.console_size or console.own_size()
        descriptors = [] if process.terminal else [0, 1, 2]
        descriptors += range(3, 3 + asked.preserve_fds)
        connection, master = _request(directory, process, descriptors)
    if asked.is_detached:
        return _leave(record, connection, master, asked)
    return _attend(connection, master, asked)


def _check_status(status: str, asked: Execution) -> None:
    if status == PAUSED and asked.ignores_pause:
        return
    if status not in (CREATED, RUNNING):
        raise ExecStateError(status)


def _first(directory: Directory) -> Process:
    """The process of config.json, as `create` saved it."""
    saved = directory.read(CONFIG)
    section = None if saved is None else parse(saved, CONFIG).section("process")
    if section is None:
        raise OciError(f"{directory.path}/{CONFIG} is missing")
    return Process(section)


def _describe(directory: Directory, asked: Execution, log: Log) -> ProcessSpec:
    first = _first(directory)
    process = read_process(asked.process_file) if asked.process_file else _changed(first, asked)
    described, warnings = process_spec(process, first)
    for warning in warnings:
        log.warn(warning)
    return described


def _changed(process: Process, asked: Execution) -> Process:
    """config.json's process with what the options of `exec` say, as runc does it."""
    if not asked.argv:
        raise UsageError("exec args cannot be empty")
    process.args = tuple(asked.argv)
    process.cwd = asked.cwd or process.cwd
    process.env = (*process.env, *asked.env)
    process.terminal = bool(asked.tty)
    if asked.no_new_privs is not None:
        process.no_new_privileges = asked.no_new_privs
    if asked.user:
        uid, _, gid = asked.user.partition(":")
        if not (uid.isascii() and uid.isdigit()):
            raise UsageError(f"parsing {uid} as int for uid failed: invalid syntax")
        if gid and not (gid.isascii() and gid.isdigit()):
            raise UsageError(f"parsing {gid} as int for gid failed: invalid syntax")
        process.user.uid = int(uid)
        process.user.gid = int(gid) if gid else process.user.gid
    process.user.additional_gids = (*process.user.additional_gids, *asked.additional_gids)
    if asked.capabilities:
        sets = dict(process.capabilities or {})
        # Only what is inheritable can be ambient: the rest of that set is not raised.
        for kind in ("bounding", "effective", "permitted", *(("ambient",) if sets.get("inheritable") else ())):
            sets[kind] = (*sets.get(kind, ()), *asked.capabilities)
        process.capabilities = sets
    return process


def _request(
    directory: Directory, process: ProcessSpec, descriptors: Sequence[int]
) -> tuple[_socket.socket, int | None]:
    """(the connection that the program belongs to, its terminal's master or None)."""
    for fd in descriptors:
        try:
            os.fstat(fd)
        except OSError:
            if fd > 2:
                raise OciError(f"unable to stat preserved-fd {fd - 3}: {fd}: bad file descriptor") from None
            os.open("/dev/null", os.O_RDWR)  # the lowest free number: this one
    connection = client.Client(directory, None)
    try:
        request: Document = {"op": "exec", "process": process.to_document()}
        answer, received = connection.request(request, descriptors)
    except NotRunningError:
        raise ExecStateError("stopped") from None
    if bool(answer.get("terminal")) != process.terminal or len(received) != int(process.terminal):
        raise ContainerFailedError("the sandbox answered without the terminal")
    return connection.socket, received[0] if received else None


def _attend(connection: _socket.socket, master: int | None, asked: Execution) -> int:
    """We are the process that stands for the program."""
    if asked.pid_file:
        pidfile.write(os.path.abspath(asked.pid_file), os.getpid())
    if asked.pidfd_socket:
        console.send_pidfd(asked.pidfd_socket, os.getpid())
    if master is None:
        return proxy.shell_status(proxy.attend_connection(connection, proxy.Signals()))
    with console.Relay(master) as relay:
        status = proxy.attend_connection(connection, proxy.Signals(), relay)
    return proxy.shell_status(status)


def _leave(record: Record, connection: _socket.socket, master: int | None, asked: Execution) -> int:
    """A child stands for the program; whoever reaps our orphans gets its status. Signals to it are held until it can
    forward them."""
    if master is not None:
        console.send_descriptor(asked.console_socket, master, "/dev/ptmx")
        os.close(master)
    proxy.block_signals()
    joined, joining = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _join(record, joining)
            proxy.become_proxy(connection)
        finally:
            os._exit(125)
    os.close(joining)
    try:
        problem = os.read(joined, 4096)
        if problem:
            raise CgroupError(problem.decode("utf-8", "replace"))
        if asked.pid_file:
            pidfile.write(os.path.abspath(asked.pid_file), pid)
        if asked.pidfd_socket:
            console.send_pidfd(asked.pidfd_socket, pid)
    except BaseException:
        os.kill(pid, 9)  # and the program with it
        raise
    proxy.unblock_signals()
    return 0


def _join(record: Record, joining: int) -> None:
    """By the process itself, which has one thread: from outside it takes a grace period of the kernel."""
    if record.cgroup:
        from pysentry.oci import cgroups

        try:
            cgroups.reopen(record.cgroup).join()
        except CgroupError as error:
            os.write(joining, str(error).encode("utf-8", "replace"))
            os._exit(125)
    os.close(joining)


def run_inside(directory: Directory, hook: Document, state: bytes) -> str:
    """A startContainer hook: a program of the container, run in it; without an environment of its own in that of the
    container's program. Returns what went wrong, or ""."""
    from pysentry.oci.hooks import MOST_SHOWN
    from pysentry.sandbox.process import ProcessSpec

    args, env, timeout_s = hook.get("args"), hook.get("env"), hook.get("timeout_s")
    argv = [str(word) for word in args] if isinstance(args, list) and args else [str(hook["path"])]
    listed = env if isinstance(env, list) else _first(directory).env
    process = ProcessSpec(argv, dict(str(one).partition("=")[::2] for one in listed))
    process.program = str(hook["path"])
    reading, writing = os.pipe2(os.O_CLOEXEC)
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        connection, _ = _request(directory, process, [reading, output, output])
        os.close(reading)
        reading = -1
        connection.settimeout(float(timeout_s) if isinstance(timeout_s, (int, float)) else None)
        try:
            os.write(writing, state)
        except BrokenPipeError:
            pass  # it does not read its state
        os.close(writing)
        writing = -1
        status = _wait(connection)
        connection.close()  # and the hook is killed, if it is late
        printed = os.pread(output, MOST_SHOWN, 0).decode("utf-8", "replace").strip()
    except ContainerFailedError as error:
        return str(error)
    finally:
        for fd in (reading, writing, output):
            if fd >= 0:
                os.close(fd)
    if status is None:
        return f"hook ran past specified timeout of {timeout_s}s"
    if os.WIFSIGNALED(status):
        return f"signal: {name_of_signal(os.WTERMSIG(status))}"
    return f"exit status {os.WEXITSTATUS(status)}, output: {printed}" if os.WEXITSTATUS(status) else ""


def _wait(connection: _socket.socket) -> int | None:
    """The wait status; None: it took too long."""
    from pysentry.sandbox.messages import MessageError, receive

    try:
        message, _ = receive(connection)
    except TimeoutError:
        return None
    except (OSError, MessageError):
        return proxy.KILLED
    status = message.get("exited") if message is not None else None
    return status if isinstance(status, int) else proxy.KILLED
