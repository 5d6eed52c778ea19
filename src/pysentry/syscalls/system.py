"""The machine as the sandbox sees it: uname(2), sysinfo(2), host and domain name, syslog(2), ports of no device."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYSLOG
from pysentry.abi.errno import EFAULT, EINVAL, EPERM, check
from pysentry.kernel.personality import personalities
from pysentry.kernel.task import all_tasks
from pysentry.kernel.uts import NAME_MAX, uts
from pysentry.kernel.wait import wait_ready
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_NR_SYSINFO = 99
_SYSINFO_BYTES = 112
_PROCS_OFFSET = 80
_REBOOT_MAGIC1, _REBOOT_MAGIC2 = 0xFEE1DEAD, (672274793, 85072278, 369367448, 537993216)
_REBOOT_COMMANDS = (0x01234567, 0xA1B2C3D4, 0xCDEF0123, 0x4321FEDC)  # RESTART, RESTART2, HALT, POWER_OFF
_UINT16 = Struct("=H")
_LOG_READ, _LOG_READ_ALL, _LOG_READ_CLEAR, _LOG_CONSOLE_LEVEL, _LOG_SIZE = 2, 3, 4, 8, 10
_LOG_BYTES = 1 << 17
_USER_END = (1 << 47) - 4096
_PORTS = 65536


@syscall
def uname(task: Task, name: UserAddr) -> int:
    task.memory.write(name, uts.pack(personalities.of(task)))
    return 0


@syscall
def sysfs(task: Task, option: int, arg1: int, arg2: int) -> int:
    """The list of /proc/filesystems by number and by name."""
    from pysentry.vfs.filesystems.proc_system import FILE_SYSTEMS  # all of /proc, for a call that nobody makes

    if option == 1:
        name = task.memory.read_cstr(arg1).decode("latin-1")
        if name not in FILE_SYSTEMS:
            raise EINVAL("no such file system")
        return FILE_SYSTEMS.index(name)
    if option == 2:
        if arg1 >= len(FILE_SYSTEMS):
            raise EINVAL("index")
        task.memory.write(arg2, FILE_SYSTEMS[arg1].encode() + b"\0")
        return 0
    if option == 3:
        return len(FILE_SYSTEMS)
    raise EINVAL("option")


@syscall
def sysinfo(task: Task, info: UserAddr) -> int:
    """The host's memory, load and uptime; the sandbox's number of tasks."""
    answer = bytearray(_SYSINFO_BYTES)
    check(lib.host_syscall(_NR_SYSINFO, int(ffi.cast("uintptr_t", ffi.from_buffer(answer))), 0, 0, 0, 0, 0))
    _UINT16.pack_into(answer, _PROCS_OFFSET, min(len(all_tasks()), 0xFFFF))
    task.memory.write(info, answer)
    return 0


@syscall
def sethostname(task: Task, name: UserAddr, length: int) -> int:
    uts.nodename = _new_name(task, name, length)
    return 0


@syscall
def setdomainname(task: Task, name: UserAddr, length: int) -> int:
    uts.domainname = _new_name(task, name, length)
    return 0


def _new_name(task: Task, name: UserAddr, length: int) -> bytes:
    if not task.has_cap(CAP_SYS_ADMIN):
        raise EPERM("CAP_SYS_ADMIN")
    if not 0 <= length <= NAME_MAX:
        raise EINVAL("length")
    return task.memory.read(name, length).split(b"\0")[0] if length else b""


@syscall
def reboot(task: Task, magic1: int, magic2: int, cmd: int, arg: UserAddr) -> int:
    """As in a pid namespace that is not the first, but for those commands that would end it: EPERM."""
    if not task.has_cap(CAP_SYS_BOOT):
        raise EPERM("CAP_SYS_BOOT")
    if magic1 != _REBOOT_MAGIC1 or magic2 not in _REBOOT_MAGIC2:
        raise EINVAL("magic")
    raise EPERM("nothing restarts") if cmd in _REBOOT_COMMANDS else EINVAL("command")


@syscall
async def syslog(task: Task, type: int, buf: UserAddr, length: int) -> int:
    """The sandbox's own log, in which nothing is ever written: a read waits for a message, for ever. As with
    kernel.dmesg_restrict=1, whoever asks anything needs CAP_SYSLOG."""
    if not task.has_cap(CAP_SYSLOG):
        raise EPERM("CAP_SYSLOG")
    if not 0 <= type <= _LOG_SIZE:
        raise EINVAL("type")
    if type in (_LOG_READ, _LOG_READ_ALL, _LOG_READ_CLEAR):
        if not buf or length < 0:
            raise EINVAL("buffer")
        if length and buf + length > _USER_END:
            raise EFAULT("buffer")
        while type == _LOG_READ and length:
            await wait_ready(task, ())
    if type == _LOG_CONSOLE_LEVEL and not 1 <= length <= 8:
        raise EINVAL("level")
    return _LOG_BYTES if type == _LOG_SIZE else 0


@syscall
def iopl(task: Task, level: int) -> int:
    """Level 0 is what every task has."""
    if not 0 <= level <= 3:
        raise EINVAL("level")
    if level:
        raise EPERM("ports are the host's")
    return 0


@syscall
def ioperm(task: Task, start: int, num: int, turn_on: int) -> int:
    """No port is open, so none is closed."""
    if not start < start + num <= _PORTS:
        raise EINVAL("ports")
    if turn_on:
        raise EPERM("ports are the host's")
    return 0
