"""Births: programs that are started from outside the sandbox, by the seed (native/engine/seed.c).

The first program of a container is born like this, and every one that `exec` adds. Owns what a newborn is given and
when its makers hear of it. Does not own the exec itself (kernel/exec.py), which is like any other.
"""

from __future__ import annotations

from struct import Struct

from pysentry.kernel import exec as kernel_exec
from pysentry.kernel.report import internal_error
from pysentry.kernel.task import on_task_exit, task_of
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CCredentials, CDentry, CDescription, CTask

EPERM, EIO = 1, 5
SIGKILL = 9
_WORDS = Struct(f"<{lib.BIRTH_WORDS}Q")
_FPROG = Struct("<HxxxxxxQ")
_BPF_INSTRUCTION_BYTES = 8


class Birth:
    """One program to be started.

    path, argv, env: as execve(2) takes them. cred, root, cwd: taken over and borrowed. seccomp: a BPF program that
    the host kernel applies to it from its exec on, or None. is_held: wait before the exec until let_go().
    """

    __slots__ = (
        "argv", "cred", "cwd", "descriptions", "env", "has_started", "is_held", "is_waiting", "is_wanted", "on_exit",
        "on_failed", "on_forked", "on_held", "on_over", "on_started", "path", "root", "seccomp", "takes_terminal",
        "task", "umask",
    )  # fmt: skip

    def __init__(
        self, path: bytes, argv: Sequence[bytes], env: Sequence[bytes], cred: CCredentials, root: CDentry, cwd: CDentry
    ) -> None:
        self.path = path
        self.argv = argv
        self.env = env
        self.cred = cred
        self.root = root
        self.cwd = cwd
        self.umask = 0o022
        self.seccomp: bytes | None = None
        self.takes_terminal = False
        self.is_held = False
        self.is_waiting = False
        self.is_wanted = True
        self.has_started = False
        self.descriptions: dict[int, CDescription] = {}
        """Its open descriptors, by number; the references go with them."""
        self.task: Task | None = None
        self.on_forked: Callable[[Task], None] | None = None
        """Told when the task exists, before it runs: limits, terminals."""
        self.on_held: Callable[[], None] | None = None
        self.on_started: Callable[[], None] | None = None
        self.on_failed: Callable[[int, bool], None] | None = None
        """Told of the errno of the exec, and whether the file itself is there."""
        self.on_exit: Callable[[int], None] | None = None
        """Told of the wait status of a program that had started."""
        self.on_over: Callable[[], None] | None = None
        """Told last, after either of the two."""

    def let_go(self) -> None:
        """Ends is_held."""
        self.is_held = False
        if self.is_waiting and self.task is not None:
            self.is_waiting = False
            lib.engine_birth_go_on(self.task.c)

    def send_signal(self, signal: int) -> bool:
        """To the process; False: it is gone."""
        return self.task is not None and lib.group_kill(self.task.c.group, signal) == 0

    def give_up(self) -> None:
        """Nobody wants it any more: it is killed, now or as soon as it is forked."""
        self.is_wanted = False
        self.send_signal(SIGKILL)

    def fail(self, number: int, exists: bool) -> None:
        """Tells of an end before the program began."""
        if self.on_failed is not None:
            self.on_failed(number, exists)
        if self.on_over is not None:
            self.on_over()


_expected: list[Birth] = []
_born: dict[int, Birth] = {}  # by the thread group's id, until its end


def bear(birth: Birth) -> None:
    """Starts it. What becomes of it is told by its callbacks."""
    _expected.append(birth)
    if lib.engine_bear() < 0:
        _refuse_expected()


def moment(c: CTask, number: int) -> int:
    """What the engine asks and tells: BIRTH_FORKED, BIRTH_BORN, BIRTH_FILL, BIRTH_OVER. -errno: it must die."""
    try:
        if number == lib.BIRTH_OVER:
            return _refuse_expected()
        if number == lib.BIRTH_FORKED:
            return _forked(c)
        task = task_of(c)
        birth = _born[task.group.id]
        return _describe(task, birth) if number == lib.BIRTH_BORN else _fill(task, birth)
    except Exception:
        internal_error("starting a program")
        return -EIO


def _refuse_expected() -> int:
    while _expected:
        birth = _expected.pop(0)
        for description in birth.descriptions.values():
            lib.desc_unref(description)
        birth.descriptions = {}
        lib.cred_unref(birth.cred)
        birth.fail(EPERM, True)
    return 0


def _forked(c: CTask) -> int:
    if not _expected:
        return -EPERM
    birth = _expected.pop(0)
    c.cred = birth.cred
    c.files = lib.fd_table_copy(ffi.NULL)
    c.fs = lib.fs_copy(ffi.NULL)
    lib.fs_set_root(c.fs, birth.root)
    lib.fs_set_cwd(c.fs, birth.cwd)
    c.fs.umask = birth.umask
    task = birth.task = task_of(c)
    _born[task.group.id] = birth
    for number, description in birth.descriptions.items():
        lib.fd_install(c, number, description, 0)
    birth.descriptions = {}
    if birth.on_forked is not None:
        birth.on_forked(task)
    return 0 if birth.is_wanted else -EPERM


def _layout(birth: Birth) -> tuple[int, int, int, int, int, int]:
    """(path, argv, envp, filter, strings, size): offsets in the buffer, and its size in bytes."""
    argv = 0
    envp = argv + 8 * (len(birth.argv) + 1)
    fprog = envp + 8 * (len(birth.env) + 1)
    path = fprog + (_FPROG.size + len(birth.seccomp) if birth.seccomp else 0)
    strings = path + len(birth.path) + 1
    size = strings + sum(len(word) + 1 for word in birth.argv) + sum(len(word) + 1 for word in birth.env)
    return path, argv, envp, fprog, strings, size


def _describe(task: Task, birth: Birth) -> int:
    path, argv, envp, fprog, _, size = _layout(birth)
    fprog_or_none = fprog if birth.seccomp else 0
    task.memory.write(
        task.c.trap.args[0], _WORDS.pack(size, path, argv, envp, fprog_or_none, int(birth.takes_terminal))
    )
    return 0


def _fill(task: Task, birth: Birth) -> int:
    if birth.is_held:
        birth.is_waiting = True
        if birth.on_held is not None:
            birth.on_held()
        return int(lib.SENTRY_PARKED)
    buffer = task.c.trap.args[0]
    _, _, _, fprog, strings, _ = _layout(birth)
    at = buffer + strings
    tables, texts = [], []
    for words in (birth.argv, birth.env):
        for word in words:
            tables.append(at.to_bytes(8, "little"))
            texts.append(word + b"\0")
            at += len(word) + 1
        tables.append(bytes(8))
    seccomp = b""
    if birth.seccomp:
        count = len(birth.seccomp) // _BPF_INSTRUCTION_BYTES
        seccomp = _FPROG.pack(count, buffer + fprog + _FPROG.size) + birth.seccomp
    task.memory.write(buffer, b"".join([*tables, seccomp, birth.path, b"\0", *texts]))
    return 0


def is_under_way(task: Task) -> bool:
    """Whether it is the stub that runs, not yet the program."""
    birth = _born.get(task.group.id)
    return birth is not None and not birth.has_started


def _started(task: Task) -> None:
    birth = _born.get(task.group.id)
    if birth is not None and not birth.has_started:
        birth.has_started = True
        if birth.on_started is not None:
            birth.on_started()


def _failed(task: Task, number: int, exists: bool) -> None:
    birth = _born.get(task.group.id)
    if birth is not None and not birth.has_started:
        del _born[task.group.id]
        birth.fail(number, exists)


def _exited(task: Task) -> None:
    if task.c.group.refs != 1:  # threads: the leader is the last that the tracer hears of
        return
    birth = _born.pop(task.group.id, None)
    if birth is None:
        return
    birth.task = None
    if not birth.has_started:
        birth.fail(EPERM, True)  # killed on the way
        return
    if birth.on_exit is not None:
        birth.on_exit(task.c.exit_status)
    if birth.on_over is not None:
        birth.on_over()


kernel_exec.on_exec.append(_started)
kernel_exec.on_failure.append(_failed)
on_task_exit.append(_exited)
