"""Hooks: programs of the host, named by config.json, that run at fixed points of a container's life.

Owns how one is run: the state on stdin, its environment, time limit, and what counts as a failure. Which run when is
lifecycle.py's. Nothing of ours is inherited: neither the container's stdio nor a descriptor.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

from pysentry.oci.errors import HookError
from pysentry.oci.host_process import SIGKILL, name_of_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    Hook = Mapping[str, Any]
    """path, args, env (None: ours) and timeout_s (None: none), as Record.hooks keeps them."""

PRESTART, CREATE_RUNTIME, CREATE_CONTAINER = "prestart", "createRuntime", "createContainer"
START_CONTAINER, POSTSTART, POSTSTOP = "startContainer", "poststart", "poststop"
MOST_SHOWN = 1024
"""Bytes of each output that a message repeats."""
JOINED = (("net", 0x40000000), ("uts", 0x04000000), ("ipc", 0x08000000))


def run_hooks(
    kind: str, hooks: Sequence[Hook], state: str, bundle: str, inside_pid: int = 0, *, goes_on: bool = False
) -> list[HookError]:
    """Runs the hooks of one kind, in order.

    state: the container's state as JSON. inside_pid: they run in the namespaces of this process (network, host name,
    ipc; their files are the host's, as there is no other root that could run a program outside of the sandbox).
    goes_on: a failure does not keep the rest from running; failures are returned then.

    Raises HookError.
    """
    failures = []
    for index, hook in enumerate(hooks):
        problem = _run(hook, state.encode("utf-8", "surrogateescape"), bundle, inside_pid)
        if problem:
            failure = HookError(kind, index, problem)
            if not goes_on:
                raise failure
            failures.append(failure)
    return failures


def _run(hook: Hook, state: bytes, bundle: str, inside_pid: int) -> str:
    """What went wrong, or ""."""
    stdin, stdout, stderr = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("state", "stdout", "stderr"))
    failed, writing = os.pipe2(os.O_CLOEXEC)
    failing = open(writing, "wb", buffering=0)  # may be closed twice: by a signal behind the first time
    try:
        os.pwrite(stdin, state, 0)
        # Whoever tells us to end is heard where we know which process is to end with us.
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            pid = os.fork()
        except OSError as error:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
            return f"fork/exec {hook['path']}: {os.strerror(error.errno or 0).lower()}"
        if pid == 0:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
            _become(hook, (stdin, stdout, stderr), writing, bundle, inside_pid)
        try:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
            failing.close()
            why = os.read(failed, 4096)
            problem = _wait(pid, hook.get("timeout_s"))
        except BaseException:  # we are told to end: so is the hook
            _end(pid)
            raise
        if why:
            return f"fork/exec {hook['path']}: {why.decode('utf-8', 'replace')}"
        if problem:
            problem += f", stdout: {_shown(stdout)}, stderr: {_shown(stderr)}"
        return problem
    finally:
        failing.close()
        for fd in (stdin, stdout, stderr, failed):
            os.close(fd)


def _become(hook: Hook, streams: tuple[int, int, int], failing: int, bundle: str, inside_pid: int) -> NoReturn:
    try:
        os.setsid()
        for fd, stream in enumerate(streams):
            os.dup2(stream, fd)
        if inside_pid:
            _join_namespaces(inside_pid)
        os.chdir(bundle)
        path = hook["path"]
        env = os.environ if hook.get("env") is None else dict(one.partition("=")[::2] for one in hook["env"])
        os.execve(path, hook.get("args") or [path], env)
    except OSError as error:
        os.write(failing, os.strerror(error.errno or 0).lower().encode())
    finally:
        os._exit(127)


def _join_namespaces(pid: int) -> None:
    """As far as they are not ours. An unprivileged user needs the user namespace first."""
    import ctypes

    setns = ctypes.CDLL(None, use_errno=True).setns
    kinds = JOINED if os.geteuid() == 0 else (("user", 0x10000000), *JOINED)
    for kind, flag in kinds:
        theirs = f"/proc/{pid}/ns/{kind}"
        if os.stat(theirs).st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino:
            continue
        fd = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        if setns(fd, flag) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        os.close(fd)


def _end(pid: int) -> None:
    """With its session, if it has one already."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)


def _wait(pid: int, timeout_s: float | None) -> str:
    is_late = False
    if timeout_s is not None:
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        is_late = not poll.poll(int(timeout_s * 1000))
        os.close(pidfd)
        if is_late:
            os.killpg(pid, SIGKILL)  # it leads a session of its own
    _, status = os.waitpid(pid, 0)
    if is_late:
        return f"hook ran past specified timeout of {timeout_s}s"
    if os.WIFSIGNALED(status):
        return f"signal: {name_of_signal(os.WTERMSIG(status))}"
    return f"exit status {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""


def _shown(fd: int) -> str:
    return os.pread(fd, MOST_SHOWN, 0).decode("utf-8", "replace").strip()
