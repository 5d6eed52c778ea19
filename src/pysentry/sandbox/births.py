"""From a ProcessSpec to a Birth: identity, limits, terminal, and the program that its words name in the sandbox's tree.

Used for a container's first program (boot.py) and for those that `exec` adds (control.py).
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EAGAIN, LinuxError
from pysentry.kernel import birth
from pysentry.kernel.birth import Birth
from pysentry.kernel.timers import call_at
from pysentry.kernel.tty import Pty, ptys
from pysentry.platform import hooks
from pysentry.platform.native import ffi, lib
from pysentry.sandbox import command, stdio
from pysentry.sandbox.control import Control, pass_lines_on, send_master, set_size
from pysentry.sandbox.errors import EXIT_NOT_EXECUTABLE, CommandError, SandboxError, describe
from pysentry.sandbox.process import ALL_CAPABILITIES, Capabilities
from pysentry.vfs.mounts import working_directory
from pysentry.vfs.open import open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CCredentials, CDentry, CDescription, CThreadGroup
    from pysentry.sandbox.config import RunConfig
    from pysentry.sandbox.control import BootChannel
    from pysentry.sandbox.process import ProcessSpec

SIGKILL = 9
AT_FDCWD = -100
PASSWD_MAX = 1 << 20
KEYS_LOOK_NS = 60_000_000
"""How often waits are looked at while somebody else has a terminal's master. The host signals what waits in a trap,
which does not end the wait, and nothing tells us of the key: without ECHO nothing at all comes back to a master. Packet
mode is the master's holder's, inotify is silent on terminals (Linux 6.14), a process of ours in the foreground group
would be one that programs signal and count, and with a pty of our own in between nothing would tell of a new size."""


class Maker:
    """Makes births in one sandbox.

    limits: sets a new process' limits as the container has them. open_pty: asks the gofer: (master, slave, number).
    """

    def __init__(
        self,
        root: CDentry,
        limits: Callable[[CThreadGroup], None],
        open_pty: Callable[[], tuple[int, int, int]],
    ) -> None:
        self._root = root
        self._limits = limits
        self._open_pty = open_pty

    def make(self, process: ProcessSpec) -> Birth:
        """CommandError: its program or directory is not there."""
        cred = credentials(process)
        try:
            cwd = working_directory(self._root, os.fsencode(process.cwd))
        except LinuxError as refused:
            why = os.strerror(refused.errno).lower()
            raise CommandError(
                f'chdir to cwd ("{process.cwd}") set in config.json failed: {why}', EXIT_NOT_EXECUTABLE
            ) from None
        path = command.find_now(process.program or process.argv[0], process.env, cred, self._root, cwd)
        argv = [os.fsencode(word) for word in process.argv]
        has_home = bool(process.env.get("HOME"))
        settings = [os.fsencode(f"{name}={value}") for name, value in process.env.items() if name != "HOME" or has_home]
        new = Birth(os.fsencode(path), argv, settings, cred, self._root, cwd)
        new.umask = 0o022 if process.umask is None else process.umask
        new.seccomp = process.seccomp
        rlimits = process.rlimits

        def prepare(task: Task) -> None:
            if not has_home:
                settings.append(b"HOME=" + _home(task, process.uid))
            group = task.c.group
            self._limits(group)
            for number, (soft, hard) in rlimits.items():
                group.rlimit_cur[number], group.rlimit_max[number] = soft, hard
            if process.oom_score_adj is not None:
                group.oom_score_adj = group.oom_score_adj_min = process.oom_score_adj

        new.on_forked = prepare
        return new

    def open_terminal(self, process: ProcessSpec, new: Birth) -> int:
        """A pty whose slave becomes 0, 1, 2 and the controlling terminal of the birth. Its master, to be passed on and
        closed."""
        master, slave, index = self._open_pty()
        set_size(master, process.console_size)
        if process.is_relayed:
            pass_lines_on(master)
        os.set_blocking(master, True)  # whoever gets it expects what openpty(3) gives
        os.set_blocking(slave, False)
        pty = Pty(index, os.dup(master), slave, (process.uid, process.gid))
        prepare = new.on_forked

        def look() -> None:
            if pty.master_fd >= 0:
                lib.signals_changed(ffi.NULL)
                call_at(lib.sentry_now_ns() + KEYS_LOOK_NS, look)

        def give(task: Task) -> None:
            if prepare is not None:
                prepare(task)
            ptys[index] = pty
            look()
            _give_terminal(task, pty)

        def end() -> None:
            ptys.pop(index, None)
            for fd in (pty.master_fd, pty.spare_slave):
                if fd >= 0:
                    os.close(fd)
            pty.master_fd = pty.spare_slave = -1

        new.takes_terminal = True
        new.on_forked, new.on_over = give, end
        return master


def first_birth(
    config: RunConfig,
    root: CDentry,
    given: dict[int, stdio.Given],
    limits: Callable[[CThreadGroup], None],
    open_pty: Callable[[], tuple[int, int, int]],
    channel: BootChannel,
) -> Control:
    """Asks for a container's first program; `create` hears when it stands before its exec. Returns the server of the
    control socket.

    SandboxError: its program is not there, or nobody takes its terminal.
    """
    container, process = config.container, config.process
    assert container is not None
    assert process is not None
    hooks.on_birth.append(birth.moment)
    lib.engine_set_keep_init(container.keeps_init)
    maker = Maker(root, limits, open_pty)
    first = maker.make(process)
    if process.terminal:
        master = maker.open_terminal(process, first)
        try:
            send_master(container.console_fd, master)
        except OSError as error:
            why = describe(error.errno or 0)
            raise SandboxError(f"cannot send the terminal over the console socket: {why}") from None
        os.close(master)
        given = {fd: one for fd, one in given.items() if fd > 2}
    first.descriptions |= stdio.describe(given)

    def held() -> None:
        assert first.task is not None
        if not channel.tell({"stage": "ready", "pid": first.task.tid}):
            lib.engine_end_init(SIGKILL)
        channel.close()

    first.is_held, first.on_held = True, held
    birth.bear(first)
    return Control(container, first, maker.make, maker.open_terminal)


def _home(task: Task, uid: int) -> bytes:
    """The home directory that the sandbox's own /etc/passwd names; "/" where it does not."""
    try:
        desc = _open(task, b"/etc/passwd", os.O_RDONLY | os.O_NONBLOCK)
    except LinuxError:
        return b"/"
    try:
        text = os.pread(desc.host_fd, PASSWD_MAX, 0) if desc.host_fd >= 0 else b""
    except OSError:
        return b"/"
    finally:
        lib.desc_unref(desc)
    for line in text.splitlines():
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == b"%d" % uid and fields[5]:
            return fields[5]
    return b"/"


def _open(task: Task, path: bytes, flags: int) -> CDescription:
    """open(2) as the task, of what never waits."""
    opening = open_path(task, AT_FDCWD, path, flags, 0)
    try:
        opening.send(None)
    except StopIteration as opened:
        desc: CDescription = opened.value
        return desc
    opening.close()
    raise EAGAIN(os.fsdecode(path))


def _give_terminal(task: Task, pty: Pty) -> None:
    try:
        desc = _open(task, b"/dev/pts/%d" % pty.index, os.O_RDWR | os.O_NOCTTY)
    except LinuxError:  # no devpts is mounted: it has a terminal, but no name for it
        desc = pty.open_peer(os.O_RDWR)
    for fd in (0, 1, 2):
        lib.desc_ref(desc)
        lib.fd_install(task.c, fd, desc, 0)
    lib.desc_unref(desc)


def credentials(process: ProcessSpec) -> CCredentials:
    """Its identity as `struct credentials`, before its exec changes it as execve(2) does."""
    cred: CCredentials = lib.cred_copy(ffi.NULL)
    cred.uid = cred.euid = cred.suid = cred.fsuid = process.uid
    cred.gid = cred.egid = cred.sgid = cred.fsgid = process.gid
    lib.cred_set_groups(cred, process.groups, len(process.groups))
    caps = process.caps
    if caps is None:
        held = ALL_CAPABILITIES if process.uid == 0 else 0
        caps = Capabilities(held, held, 0, ALL_CAPABILITIES, 0)
    cred.cap_effective = caps.effective & caps.permitted
    cred.cap_permitted = caps.permitted
    cred.cap_inheritable = caps.inheritable
    cred.cap_bounding = caps.bounding
    cred.cap_ambient = caps.ambient & caps.permitted & caps.inheritable
    cred.no_new_privs = int(process.no_new_privs)
    return cred
