"""The files of /proc that are about the whole machine: the host's numbers where they are nobody's secret."""

from __future__ import annotations

import os

from pysentry.abi.errno import EIO, LinuxError
from pysentry.kernel.late import late
from pysentry.kernel.proc_status import read_host_path
from pysentry.kernel.uts import uts
from pysentry.platform.native import lib
from pysentry.vfs import locks
from pysentry.vfs.filesystems import proc_stat
from pysentry.vfs.filesystems.generated import Directory, File, Link, Node, constant
from pysentry.vfs.filesystems.proc_config import config_gz
from pysentry.vfs.filesystems.proc_sys import make_sys_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task

FILE_SYSTEMS = ("sysfs", "tmpfs", "proc", "devtmpfs", "devpts", "mqueue", "cgroup2", "overlay", "ramfs")
_STAT_LINES = (b"cpu", b"ctxt", b"btime", b"softirq")


class SystemFile(File):
    """Writing answers EIO (proc_reg_write), where a file about a process answers EINVAL (vfs_write)."""

    __slots__ = ()

    def __init__(self, content: Callable[[], bytes]) -> None:
        super().__init__(content, store=_refuse)


def _refuse(task: Task, data: bytes) -> None:
    raise EIO("about the whole system")


def _host(name: str) -> bytes:
    try:
        return read_host_path(name)
    except LinuxError:
        return b""


def _host_file(name: str) -> Callable[[], bytes]:
    return lambda: _host(name)


def _stat() -> bytes:
    """CPU time, context switches, boot time; interrupts by number and the host's processes are left out."""
    lines = []
    for line in _host("stat").splitlines(keepends=True):
        name = line.split(None, 1)[0]
        if name.startswith(_STAT_LINES):
            lines.append(line)
        elif name == b"intr":
            lines.append(b" ".join(line.split()[:2]) + b"\n")
        elif name == b"processes":
            lines.append(b"processes %d\n" % (lib.sentry_stats.forks + 1))
        elif name == b"procs_running":
            lines.append(b"procs_running %d\n" % max(1, proc_stat.running_and_total()[0]))
        elif name == b"procs_blocked":
            lines.append(b"procs_blocked 0\n")
    return b"".join(lines)


def _loadavg() -> bytes:
    return b" ".join(_host("loadavg").split()[:3]) + b" %d/%d %d\n" % proc_stat.running_and_total()


def _version() -> bytes:
    return b"Linux version %s (pysentry@sandbox) (gcc) %s\n" % (uts.release, uts.version)


def _interrupts() -> bytes:
    count = os.cpu_count() or 1
    return b"    " + b"".join(b"       CPU%-3d" % cpu for cpu in range(count)) + b"\n"


def _self(task: Task | None) -> bytes:
    return b"1" if task is None else b"%d" % task.group.pid


def _thread_self(task: Task | None) -> bytes:
    return b"1/task/1" if task is None else b"%d/task/%d" % (task.group.pid, task.ns_tid)


def _in_self(name: bytes) -> Link:
    return Link(lambda task: b"self/" + name)


def make_system_entries() -> dict[bytes, Node]:
    """The fixed entries of /proc."""
    entries: dict[bytes, Node] = {
        b"self": Link(_self),
        b"thread-self": Link(_thread_self),
        b"mounts": _in_self(b"mounts"),
        b"net": _in_self(b"net"),
        b"stat": SystemFile(_stat),
        b"loadavg": SystemFile(_loadavg),
        b"version": SystemFile(_version),
        b"interrupts": SystemFile(_interrupts),
        b"sys": make_sys_directory(),
        b"config.gz": SystemFile(config_gz),
        b"sysvipc": Directory(
            {name: SystemFile(late(f"pysentry.kernel.{name.decode()}", "listing")) for name in (b"msg", b"sem", b"shm")}
        ),
        b"cmdline": SystemFile(constant(b"BOOT_IMAGE=/boot/vmlinuz ro quiet\n")),
        b"filesystems": SystemFile(constant("".join(f"nodev\t{name}\n" for name in FILE_SYSTEMS).encode())),
        b"swaps": SystemFile(constant(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
        b"partitions": SystemFile(constant(b"major minor  #blocks  name\n\n")),
        b"diskstats": SystemFile(constant(b"")),
        b"modules": SystemFile(constant(b"")),
        b"locks": SystemFile(locks.listing),
        b"cgroups": SystemFile(constant(b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n")),
        b"devices": SystemFile(
            constant(
                b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n128 ptm\n136 pts\n\n"
                b"Block devices:\n"
            )
        ),
        b"misc": SystemFile(constant(b"")),
        b"consoles": SystemFile(constant(b"")),
        b"tty": Directory(
            {
                b"drivers": SystemFile(
                    constant(
                        b"/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
                        b"/dev/ptmx            /dev/ptmx       5       2 system\n"
                        b"pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
                        b"pty_master           /dev/ptm      128 0-1048575 pty:master\n"
                    )
                )
            }
        ),
    }
    for name in ("meminfo", "cpuinfo", "uptime", "vmstat"):
        entries[name.encode()] = SystemFile(_host_file(name))
    return entries
