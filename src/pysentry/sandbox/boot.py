"""Boot: the only place that wires the parts together, in the one order that is safe.

What needs the caller's rights comes first (outputs, devices, descriptors), then the sentry's namespaces and empty root,
then the first task, stopped at its exec; then the lock-up; only then does the workload execute anything.
"""

from __future__ import annotations

import os

from pysentry.abi import errno as linux_errno
from pysentry.kernel import exec as kernel_exec
from pysentry.kernel import pipe, tty
from pysentry.kernel.task import Task, task_of
from pysentry.platform import hooks
from pysentry.platform.native import ffi, lib
from pysentry.sandbox import command, report, stdio
from pysentry.sandbox.errors import EXIT_TIMEOUT, SandboxError, describe
from pysentry.sandbox.gofer_link import greet
from pysentry.sandbox.limits import OOM_SCORE, Limits, file_memory_bytes, offer_to_oom_killer
from pysentry.sandbox.lockdown import lock_up
from pysentry.sandbox.namespaces import empty_root, enter_namespaces, leave_view
from pysentry.sandbox.outside import Outside
from pysentry.sandbox.wiring import connect
from pysentry.vfs.mounts import MountError, build_root, working_directory
from pysentry.vfs.open import use_host_proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CCredentials, CDentry, CThreadGroup
    from pysentry.sandbox.config import RunConfig, User
    from pysentry.sandbox.control import BootChannel
    from pysentry.sandbox.export import Exporter
    from pysentry.sandbox.launcher import Gofer
    from pysentry.sandbox.terminal import Terminal
    from pysentry.vfs.mounts import Maker

DEVICES = (b"null", b"zero", b"full", b"random", b"urandom")
ALL_CAPS = (1 << 41) - 1
ROOT_CAPS = ALL_CAPS


def boot(config: RunConfig, gofer: Gofer, channel: BootChannel | None = None) -> int:
    """Runs the sandbox to its end.

    channel: with a container: where `create` is told how far we are, and lets us go on.
    Returns: the exit status for the shell; of a container, the wait status of its first program.
    Raises SandboxError: it could not start, or could not go on.
    """
    container = config.container
    lib.engine_save_mask()
    outputs = report.open_outputs(config)
    terminal: Terminal | None = None
    outside = Outside(_to_init, _to_foreground, _kill_all, None, config.timeout_s)
    try:
        client, tree_flags = greet(gofer.sock)
        if container is None and (config.tty or (os.isatty(0) and os.isatty(1))):
            from pysentry.sandbox.terminal import open_terminal

            terminal = open_terminal(config, client.open_pty)
        outside = Outside(
            _to_init, _to_foreground, _kill_all, terminal, config.timeout_s, is_container=container is not None
        )
        outside.block()
        if container is None:
            given = stdio.take(config.closed_stdio)
        else:
            # At a terminal of its own the program gets none of ours, and who reads them waits until nobody has them.
            assert config.process is not None
            without = (0, 1, 2) if config.process.terminal else config.closed_stdio
            given = stdio.take(without, container.preserve_fds, keeps_stderr=False)
            if container.log_fd >= 0:
                os.dup2(container.log_fd, 2)
                os.close(container.log_fd)
        devices = {name: os.open(b"/dev/" + name, _device_flags(name)) for name in DEVICES}
        stub_fd = lib.engine_stub_fd()
        if stub_fd < 0:
            raise SandboxError(f"cannot prepare the exec stub: {describe(stub_fd)}")
        limits = Limits()
        tty.use_pair_opener(lambda: _number_first(*client.open_pty()))

        # What is imported later comes from memory (wiring.py): there will be no files to import from.
        connect(config)
        if config.trace is not None:
            from pysentry.trace.tracer import start_trace
        if channel is not None:
            from pysentry.sandbox.births import first_birth
        exporter: Exporter | None = None
        if outputs.changes >= 0 or outputs.export >= 0:
            from pysentry.sandbox.export import Exporter

            exporter = Exporter(outputs.changes, outputs.export)
        kernel_file_systems = _kernel_file_systems()

        file_memory = file_memory_bytes()  # while the host's files can be seen
        namespaces = enter_namespaces(config)
        if channel is not None and not channel.ask({"stage": "namespaces"}):
            raise SandboxError("the container is not wanted any more")
        fifo_directory = pipe.make_fifo_directory(file_memory)
        lib.content_use_directory(fifo_directory)
        empty_root()
        _check(lib.engine_open(namespaces.proc_fd, gofer.sock), "cannot set up the event loop")
        hooks.register()
        use_host_proc(namespaces.proc_fd)
        try:
            root = build_root(config, client, tree_flags, devices, *kernel_file_systems)
        except MountError as error:
            raise SandboxError(str(error)) from None
        if exporter is not None:
            exporter.start()
        if channel is None:
            init, engine = _first_task(config, root, terminal, stub_fd, limits)
            first_tid = init.tid
            stdio.hand_over(init, {fd: one for fd, one in given.items() if not terminal or fd not in terminal.replaces})
            if terminal is not None:
                terminal.give_to(init)
        else:
            first_tid, engine = _spawn_seed(config, stub_fd)
            leave_view()
            control = first_birth(config, root, given, limits.give_to, client.open_pty, channel)
        report.announce(config, engine, namespaces.uid)
        os.close(stub_fd)
        score = None if config.process is None else config.process.oom_score_adj
        offer_to_oom_killer(first_tid, namespaces.proc_fd, OOM_SCORE if score is None else score)
        lib.engine_set_fast_path(config.fast_path)
        if config.trace is not None:
            start_trace(outputs.trace)
        lock_up(namespaces.proc_fd, fifo_directory)
        outside.start(None if channel is None else control.ends_unstarted)
        if terminal is not None:
            terminal.start()
        if channel is not None:
            control.start(outputs.started_ns)
        lib.engine_start()
        ended = lib.engine_run()
        return _finish(config, ended, outside, outputs, engine, exporter)
    finally:
        lib.engine_end()
        if terminal is not None:
            terminal.finish()


def _number_first(master: int, slave: int, number: int) -> tuple[int, int, int]:
    return number, master, slave


def _device_flags(name: bytes) -> int:
    return (os.O_RDONLY if name in (b"random", b"urandom") else os.O_RDWR) | os.O_CLOEXEC | os.O_NOCTTY


def _check(result: int, what: str) -> int:
    if result < 0:
        raise SandboxError(f"{what}: {describe(result)}")
    return result


def _kernel_file_systems() -> tuple[Maker, Maker]:
    from pysentry.vfs.filesystems.proc import make_proc
    from pysentry.vfs.filesystems.sys import make_sys
    from pysentry.vfs.mounting import register_type

    register_type(b"proc", make_proc)
    register_type(b"sysfs", make_sys)
    return make_proc, make_sys


def _first_task(
    config: RunConfig, root: CDentry, terminal: Terminal | None, stub_fd: int, limits: Limits
) -> tuple[Task, str]:
    """The first task, and the engine that caught it: "auto" takes ptrace where a listener cannot be had."""
    cred = _credentials(config.user)
    try:
        cwd = working_directory(root, os.fsencode(config.cwd))
    except linux_errno.LinuxError as refused:
        raise SandboxError(f"--cwd {config.cwd}: {os.strerror(refused.errno)}") from None
    path = command.find(config.argv[0], config.env, cred, root, cwd)
    strings = [ffi.new("char[]", os.fsencode(word)) for word in [path, *config.argv]]
    settings = [ffi.new("char[]", os.fsencode(f"{name}={value}")) for name, value in config.env.items()]
    argv = ffi.new("char *[]", [*strings[1:], ffi.NULL])
    envp = ffi.new("char *[]", [*settings, ffi.NULL])
    error = ffi.new("int *")
    tty_fd = -1 if terminal is None else terminal.slave_fd
    for engine in _engines(config):
        c = lib.engine_spawn(strings[0], argv, envp, stub_fd, tty_fd, config.pids, engine == "ptrace", error)
        if c != ffi.NULL:
            break
    else:
        raise _cannot_spawn(engine, error[0])
    c.cred = cred
    c.files = lib.fd_table_copy(ffi.NULL)
    c.fs = lib.fs_copy(ffi.NULL)
    lib.fs_set_root(c.fs, root)
    lib.fs_set_cwd(c.fs, cwd)
    c.fs.umask = config.umask
    limits.give_to(c.group)
    return task_of(c), engine


def _engines(config: RunConfig) -> tuple[str, ...]:
    return ("seccomp", "ptrace") if config.platform == "auto" else (config.platform,)


def _cannot_spawn(engine: str, error: int) -> SandboxError:
    step = ffi.string(lib.engine_failed_step()).decode()
    return SandboxError(
        f"cannot start a process in the sandbox ({engine} platform, step: {step}): {describe(error)}; "
        "'pysentry doctor' says what is missing"
    )


def _spawn_seed(config: RunConfig, stub_fd: int) -> tuple[int, str]:
    """The process that a container's programs are born of (host pid), and the engine that caught it."""
    for engine in _engines(config):
        tid = lib.engine_spawn_seed(stub_fd, config.pids, engine == "ptrace")
        if tid > 0:
            return tid, engine
    raise _cannot_spawn(engine, tid)


def _credentials(user: User) -> CCredentials:
    cred: CCredentials = lib.cred_copy(ffi.NULL)
    cred.uid = cred.euid = cred.suid = cred.fsuid = user.uid
    cred.gid = cred.egid = cred.sgid = cred.fsgid = user.gid
    lib.cred_set_groups(cred, user.groups, len(user.groups))
    cred.cap_bounding = ALL_CAPS
    if user.uid == 0:
        cred.cap_permitted = cred.cap_effective = ROOT_CAPS
    return cred


def _finish(
    config: RunConfig, ended: int, outside: Outside, outputs: report.Outputs, engine: str, exporter: Exporter | None
) -> int:
    execs = lib.sentry_stats.execs
    lib.engine_end()
    status = _exit_status() if config.container is None else _wait_status()
    failure: SandboxError | None = None
    if outside.has_timed_out:
        status = EXIT_TIMEOUT
    elif ended < 0:
        failure = SandboxError("the gofer died; the sandbox was ended")
    elif config.container is None and not execs and kernel_exec.first_error:
        failure = command.refused(config.argv[0], kernel_exec.first_error, kernel_exec.first_exists)
    if exporter is not None and ended >= 0:
        try:
            exporter.write()
        except SandboxError as refused:
            failure = refused
    if failure is not None:
        status = failure.status
    lib.sentry_stats.gofer_calls = lib.engine_gofer_calls()
    report.write(outputs, lib.sentry_stats, status, engine)
    if failure is not None:
        raise failure
    return status


def _exit_status() -> int:
    signal = lib.engine_init_signal()
    if signal:
        return 128 + int(signal)
    status = int(lib.engine_exit_status())
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _wait_status() -> int:
    """As waitpid(2) tells it."""
    return int(lib.engine_init_signal() or lib.engine_exit_status())


def _init_group() -> CThreadGroup | None:
    c = lib.task_find_ns(1)
    return None if c == ffi.NULL else c.group


def _to_init(signal: int) -> None:
    group = _init_group()
    if group is not None:
        lib.group_kill(group, signal)


def _to_foreground(signal: int) -> None:
    """Pid 1's whole process group, as a key of the terminal does it."""
    group = _init_group()
    if group is not None:
        try:
            os.killpg(os.getpgid(group.tgid), signal)
        except OSError:
            pass
        lib.signals_changed(ffi.NULL)


def _kill_all() -> None:
    _to_init(9)



