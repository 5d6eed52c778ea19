"""How a container comes to be and starts: `create` with its undo list, `start`. What ends one is in ending.py.

`create` holds the lock of the id from the first moment; whatever it has made is written down before it could be left
behind, so that `delete --force` finds it when `create` was killed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import time

from pysentry.oci import client, console, ending, hooks, pidfile
from pysentry.oci.errors import ContainerFailedError, HookError, NotRunningError, OciError, StartError
from pysentry.oci.host_process import SIGKILL, ourselves, remember, use_all_cpus
from pysentry.oci.state import CONFIG, CREATED, CREATING, RUNNING, STARTING, Record, check_id
from pysentry.sandbox.messages import MessageError, encode, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import NoReturn

    from pysentry.oci.bundle import Bundle
    from pysentry.oci.cgroups import Cgroup
    from pysentry.oci.log import Log
    from pysentry.oci.settings import Settings
    from pysentry.oci.state import Directory, Store
    from pysentry.sandbox.config import RunConfig

    Show = Callable[[RunConfig, int, int], None]

ENDING_SIGNALS = (1, 2, 15)
"""HUP, INT, TERM: `create` undoes what it did."""


class Request:
    """What `create` and `run` were asked for. is_detached: the caller will be the parent of the container.

    console: set by create() where a container in the foreground has a terminal: our end of its console socket.
    """

    __slots__ = (
        "bundle",
        "console",
        "console_socket",
        "identity",
        "is_detached",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
    )

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.bundle = ""
        self.console_socket = ""
        self.pid_file = ""
        self.pidfd_socket = ""
        self.preserve_fds = 0
        self.is_detached = True
        self.console: _socket.socket | None = None


class Undo:
    """Steps that are taken back, last first, if the rest fails."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def push(self, step: Callable[[], object]) -> None:
        self._steps.append(step)

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        while error is not None and self._steps:
            try:
                self._steps.pop()()
            except (OSError, OciError):
                pass  # the first failure is the one to tell; what is left can be deleted


class Terminated(BaseException):
    """One of ENDING_SIGNALS came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def create(store: Store, request: Request, settings: Settings, log: Log) -> Record:
    """Makes a container up to the moment before its program is executed.

    Returns: its record; the sentry is a child of ours. Raises OciError: then nothing is left.
    """
    from pysentry.oci.bundle import open_bundle

    check_id(request.identity)
    bundle = open_bundle(request.bundle)
    console.check(bundle.process.terminal, request.console_socket, request.is_detached)
    request.pid_file = os.path.abspath(request.pid_file) if request.pid_file else ""
    request.preserve_fds = _preserved(request.preserve_fds)
    for number in ENDING_SIGNALS:
        _signal.signal(number, _terminate)
    directory = store.claim(request.identity)
    record = _new_record(request.identity, bundle)
    try:
        with Undo() as undo:
            undo.push(directory.remove)
            directory.save(record)
            config, cgroup = _prepare(directory, record, request, bundle, settings, undo, log)
            boot = _boot(directory, record, config, cgroup, undo)
            show = _view()
            first_pid = _converse(boot, record)
            cgroup.release()
            boot.close()
            if show is not None:
                _show_files(show, config, record, first_pid, log)
            _announce(request, record, undo)
            record.stored = CREATED
            directory.save(record)
    except HookError:
        ending.run_poststop(record, log)
        raise
    except Terminated as told:
        directory.close()
        _signal.signal(told.number, _signal.SIG_DFL)
        os.kill(os.getpid(), told.number)
    finally:
        directory.close()
        for number in ENDING_SIGNALS:
            _signal.signal(number, _signal.SIG_DFL)
    return record


def _announce(request: Request, record: Record, undo: Undo) -> None:
    """To whoever waits for the pid."""
    if request.pid_file:
        pidfile.write(request.pid_file, record.sentry.pid)
        undo.push(lambda: os.unlink(request.pid_file))
    if request.pidfd_socket:
        console.send_pidfd(request.pidfd_socket, record.sentry.pid)


def _terminate(number: int, _frame: object) -> None:
    raise Terminated(number)


def _listening() -> int:
    """How many descriptors socket activation gave us, as sd_listen_fds(3) counts them."""
    count = os.environ.get("LISTEN_FDS", "")
    is_for_us = os.environ.get("LISTEN_PID", "") in ("", str(os.getpid()))
    return int(count) if is_for_us and count.isascii() and count.isdigit() else 0


def _preserved(count: int) -> int:
    """How many descriptors from 3 on go to the program: those of socket activation, and --preserve-fds more."""
    count += _listening()
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            raise OciError(f"unable to stat preserved-fd {fd - 3} (of {count}): {fd}: bad file descriptor") from None
    return count


def _new_record(identity: str, bundle: Bundle) -> Record:
    record = Record(identity, ourselves())
    now = time.time_ns()
    record.created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    record.created += f".{now % 1_000_000_000:09}Z"
    record.oci_version = bundle.spec.oci_version
    record.bundle = bundle.path
    record.rootfs = bundle.rootfs
    record.annotations = dict(bundle.spec.annotations)
    record.hooks = {
        kind: [{name: getattr(hook, name) for name in hook.__slots__} for hook in listed]
        for kind, listed in bundle.spec.hooks.items()
        if listed
    }
    return record


def _prepare(
    directory: Directory,
    record: Record,
    request: Request,
    bundle: Bundle,
    settings: Settings,
    undo: Undo,
    log: Log,
) -> tuple[RunConfig, Cgroup]:
    """Everything that a sentry is given: its configuration, control socket, cgroup and console."""
    from pysentry.oci import cgroups
    from pysentry.oci.translate import run_config
    from pysentry.sandbox.container import Container

    settings, warnings = settings.with_annotations(record.annotations)
    config, more = run_config(bundle, settings)
    for warning in (*warnings, *more):
        log.warn(warning)
    try:
        directory.write(CONFIG, bundle.document)  # for `exec`, whatever happens to the bundle
    except OSError as error:
        raise OciError(f"unable to save the state: {error.strerror}") from None
    container = Container(record.identity, -1, client.listen(directory).detach())
    config.container = container
    container.preserve_fds = request.preserve_fds
    if config.process is not None and _listening():
        config.process.env |= {"LISTEN_FDS": str(_listening()), "LISTEN_PID": "1"}
    if request.console_socket:
        container.console_fd = console.connect(request.console_socket).detach()
    elif bundle.process.terminal:
        request.console, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        container.console_fd = theirs.detach()
        if config.process is not None:
            config.process.is_relayed = True
            config.process.console_size = config.process.console_size or console.own_size()
    linux = bundle.spec.linux
    if settings.cgroup_manager == "disabled":
        if linux.resources is not None:
            log.warn("linux.resources: not kept, as no cgroup is to be made")
        return config, cgroups.NONE
    path = linux.cgroups_path or (f":pysentry:{record.identity}" if settings.systemd_cgroup else "")
    record.cgroup = cgroups.plan(path, record.identity).to_document()
    directory.save(record)  # whoever kills us now: `delete --force` finds what was made
    cgroup, more = cgroups.make(path, linux.resources, record.identity, settings.is_rootless)
    record.cgroup = cgroup.to_document() if cgroup.paths else {}
    for warning in more:
        log.warn(warning)
    if cgroup.paths:
        undo.push(cgroup.destroy)
        undo.push(cgroup.kill)
        undo.push(cgroup.release)
        if any(row.kind == "cgroup" for row in config.mounts):
            from pysentry.oci.cgroups.view import view

            container.cgroup = view(cgroup)
        directory.save(record)
    return config, cgroup


def _boot(directory: Directory, record: Record, config: RunConfig, cgroup: Cgroup, undo: Undo) -> _socket.socket:
    """Forks the sentry. It goes on once it is written down; if we die before, it ends."""
    container = config.container
    assert container is not None
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    container.boot_fd = theirs.fileno()
    pid = os.fork()
    if pid == 0:
        directory.close()  # the lock
        ours.close()
        _become_sentry(theirs, config, cgroup)
    theirs.close()
    for fd in (container.control_fd, container.console_fd, config.netns_fd, config.ipcns_fd):
        if fd >= 0:
            os.close(fd)
    undo.push(lambda: _end_child(record))
    record.sentry = remember(pid)
    directory.save(record)
    try:
        send(ours, {"go": True})
    except OSError:
        pass  # it died: the conversation finds out
    return ours


def _become_sentry(boot: _socket.socket, config: RunConfig, cgroup: Cgroup) -> NoReturn:
    try:
        for number in ENDING_SIGNALS:
            _signal.signal(number, _signal.SIG_DFL)
        os.setsid()
        cgroup.join()  # by ourselves, with one thread: from outside it takes a grace period of the kernel
        use_all_cpus()
        word, _ = receive(boot)
        if word is not None:
            os.chdir("/")
            from pysentry.sandbox.launcher import launch_container

            boot.detach()
            launch_container(config)
    except OciError as error:
        _tell_failure(config, str(error))
    except BaseException as error:
        _tell_failure(config, f"internal error: {error!r}")
    finally:
        os._exit(125)


def _tell_failure(config: RunConfig, message: str) -> None:
    assert config.container is not None
    try:
        boot = _socket.socket(fileno=config.container.boot_fd)
        send(boot, {"stage": "failed", "error": message, "status": 125})
    except OSError:
        pass


def _end_child(record: Record) -> None:
    """SIGKILL, and waits: nobody else will."""
    record.sentry.signal(SIGKILL)
    try:
        os.waitpid(record.sentry.pid, 0)
    except ChildProcessError:
        pass


def _converse(boot: _socket.socket, record: Record) -> int:
    """Until the sentry is ready. The pid of the first program, as we see it. Raises ContainerFailedError, HookError."""
    while True:
        try:
            message, descriptors = receive(boot)
        except (OSError, MessageError) as error:
            raise ContainerFailedError(f"cannot talk to the sandbox: {error}") from None
        for fd in descriptors:
            os.close(fd)
        if message is None:
            raise ContainerFailedError(f"the sandbox ended before it was ready ({_how_it_ended(record)})")
        stage = message.get("stage")
        if stage == "ready":
            pid = message.get("pid")
            if not isinstance(pid, int):
                raise ContainerFailedError("the sandbox does not say what its first program's pid is")
            return pid
        if stage == "failed":
            raise ContainerFailedError(str(message.get("error")))
        if stage == "namespaces":
            _run_creation_hooks(record)
            try:
                send(boot, {"go": True})
            except OSError:
                continue  # the next message says why


def _view() -> Show | None:
    """What shows the container's files to privileged processes of the host that enter its mount namespace, `podman cp`
    and `podman top`. Imported while the sentry boots. None: whoever started us cannot enter either."""
    if os.geteuid() != 0:
        return None
    from pysentry.sandbox.host_view import show_container

    return show_container


def _show_files(show: Show, config: RunConfig, record: Record, first_pid: int, log: Log) -> None:
    try:
        show(config, record.sentry.pid, first_pid)
    except OSError as error:
        log.warn(f"the container's mount namespace stays empty: {error.strerror}; podman cp and top need it")


def _how_it_ended(record: Record) -> str:
    if not record.sentry.wait_dead(client.PATIENCE_S):
        return "it closed its socket"
    _, status = os.waitpid(record.sentry.pid, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {os.WEXITSTATUS(status)}"


def _run_creation_hooks(record: Record) -> None:
    pid = record.sentry.pid
    for kind, status, inside_pid in (
        (hooks.PRESTART, CREATED, 0),  # deprecated: of spec 1.0, where it ran once the container was created
        (hooks.CREATE_RUNTIME, CREATING, 0),
        (hooks.CREATE_CONTAINER, CREATING, pid),
    ):
        hooks.run_hooks(kind, record.hooks_of(kind), encode(record.for_hooks(status)), record.bundle, inside_pid)


def start(store: Store, identity: str, log: Log) -> None:
    """Lets a created container's program run.

    Raises:
        StartError: it is in another state. ContainerFailedError: the program cannot be executed. HookError.
    """
    with store.look(identity) as directory:  # `create` may hold the lock for long
        status = ending.status_of(directory, directory.load())
        if status == CREATING:
            raise StartError(status)
    with store.locked(identity) as directory:
        record = directory.load()
        status = ending.status_of(directory, record)
        if status != CREATED:
            raise StartError(status)
        _run_start_hooks(directory, record)
        record.stored = STARTING
        directory.save(record)
        try:
            client.start(directory)
        except ContainerFailedError:
            record.stored = CREATED
            directory.save(record)
            raise
        except NotRunningError:
            raise StartError("stopped") from None
        record.stored = RUNNING
        directory.save(record)
    try:
        hooks.run_hooks(
            hooks.POSTSTART, record.hooks_of(hooks.POSTSTART), encode(record.for_hooks(RUNNING)), record.bundle
        )
    except HookError:
        ending.end(record, log)
        raise


def _run_start_hooks(directory: Directory, record: Record) -> None:
    """startContainer hooks are programs of the container's own files: they run in the sandbox, as its root."""
    listed = record.hooks_of(hooks.START_CONTAINER)
    if not listed:
        return
    from pysentry.oci.executing import run_inside

    state = encode(record.for_hooks(CREATED)).encode("ascii")
    for index, hook in enumerate(listed):
        problem = run_inside(directory, hook, state)
        if problem:
            record.sentry.signal(SIGKILL)
            raise HookError(hooks.START_CONTAINER, index, problem)
