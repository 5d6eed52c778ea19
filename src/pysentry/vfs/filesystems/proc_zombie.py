"""/proc/PID of a process that ended and was not waited for: little is left, and all of that is the host's to say."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, ENOENT, ESRCH
from pysentry.abi.stat import S_IFDIR, S_IFLNK, S_IFREG
from pysentry.kernel.proc_status import read_host_path, status_fields, status_text
from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems import proc_cgroup
from pysentry.vfs.filesystems.generated import Directory, File, Link, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CZombie
    from pysentry.vfs.filesystems.proc_subject import Subject

_PPID, _PGRP, _SESSION, _TTY, _TPGID = range(1, 6)
_KEPT = (
    b"FDSize Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt Cpus_allowed Cpus_allowed_list "
    b"voluntary_ctxt_switches nonvoluntary_ctxt_switches"
).split()
_MOST = 256


def zombie_pids() -> list[int]:
    """Their pids as the sandbox sees them."""
    numbers = ffi.new("int32_t[]", _MOST)
    return [numbers[index] for index in range(lib.zombie_list(numbers, _MOST))]


class Zombie:
    """One of them, for as long as it is one."""

    __slots__ = ("host_pid", "pid")

    def __init__(self, pid: int, c: CZombie) -> None:
        self.pid = pid
        self.host_pid = c.tid

    @property
    def c(self) -> CZombie:
        """What the engine kept. ESRCH: it has been waited for."""
        c: CZombie = lib.zombie_find(self.pid)
        if c == ffi.NULL or c.tid != self.host_pid:
            raise ESRCH("gone")
        return c

    @property
    def comm(self) -> bytes:
        return bytes(ffi.string(self.c.comm, 16))

    def host_status(self) -> dict[bytes, bytes]:
        return status_fields(read_host_path(f"{self.host_pid}/status"))

    def numbers(self, status: dict[bytes, bytes]) -> tuple[int, int, int]:
        """(parent, process group, session)."""
        parent = lib.task_find(int(status.get(b"PPid", b"0")))
        inner = [status.get(name, b"0").split()[-1:] for name in (b"NSpgid", b"NSsid")]
        group, session = (int(one[0]) if one else 0 for one in inner)
        return (lib.task_ns_tid(parent) if parent != ffi.NULL else 0), group, session

    def is_there(self) -> bool:
        try:
            return bool(self.c)
        except ESRCH:
            return False

    def owner(self) -> tuple[int, int]:
        try:
            return self.c.uid, self.c.gid
        except ESRCH:
            return 0, 0


def find_zombie(name: bytes) -> Zombie | None:
    """The one whose number this is."""
    if not name.isdigit() or name[:1] == b"0" or len(name) > 9:
        return None
    c = lib.zombie_find(int(name))
    return None if c == ffi.NULL else Zombie(int(name), c)


def _stat(zombie: Zombie) -> bytes:
    comm = zombie.comm
    text = read_host_path(f"{zombie.host_pid}/stat")
    fields = text[text.rindex(b")") + 2 :].split()
    for index, number in zip((_PPID, _PGRP, _SESSION), zombie.numbers(zombie.host_status()), strict=True):
        fields[index] = b"%d" % number
    fields[_TTY], fields[_TPGID] = b"0", b"-1"
    return b"%d (%s) %s\n" % (zombie.pid, comm, b" ".join(fields))


def _status(zombie: Zombie) -> bytes:
    host = zombie.host_status()
    parent, group, session = zombie.numbers(host)
    uid, gid = zombie.owner()
    pid = b"%d" % zombie.pid
    made = {
        b"Name": zombie.comm,
        b"State": b"Z (zombie)",
        b"Tgid": pid,
        b"Ngid": b"0",
        b"Pid": pid,
        b"PPid": b"%d" % parent,
        b"TracerPid": b"0",
        b"Uid": b"\t".join([b"%d" % uid] * 4),
        b"Gid": b"\t".join([b"%d" % gid] * 4),
        b"NStgid": pid,
        b"NSpid": pid,
        b"NSpgid": b"%d" % group,
        b"NSsid": b"%d" % session,
    }
    return status_text(host, made, _KEPT)


def _empty(zombie: Zombie) -> bytes:
    zombie.c  # noqa: B018 - ESRCH
    return b""


def _statm(zombie: Zombie) -> bytes:
    return _empty(zombie) + b"0 0 0 0 0 0 0\n"


def _comm(zombie: Zombie) -> bytes:
    return zombie.comm + b"\n"


def _cgroup(zombie: Zombie) -> bytes:
    return _empty(zombie) + proc_cgroup.lines()


_FILES: dict[bytes, tuple[int, Callable[[Zombie], bytes]]] = {
    b"stat": (0o444, _stat),
    b"status": (0o444, _status),
    b"statm": (0o444, _statm),
    b"comm": (0o444, _comm),
    b"cgroup": (0o444, _cgroup),
    b"cmdline": (0o444, _empty),
    b"environ": (0o400, _empty),
    b"maps": (0o444, _empty),
    b"smaps": (0o444, _empty),
}
_LINKS = (b"exe", b"cwd", b"root")
_DIRECTORIES = (b"fd", b"fdinfo")


class _Gone(Link):
    """exe, cwd, root: given back already."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(self._none)

    @staticmethod
    def _none(task: Task | None) -> bytes:
        raise ENOENT("zombie")


class _ZombieFile(File):
    __slots__ = ("zombie",)

    def __init__(self, zombie: Zombie, make: Callable[[Zombie], bytes], mode: int) -> None:
        super().__init__(lambda: make(zombie), mode, self._refuse)
        self.zombie = zombie

    @staticmethod
    def _refuse(task: Task, data: bytes) -> None:
        raise EINVAL("zombie")

    def owner(self) -> tuple[int, int]:
        return self.zombie.owner()

    def is_valid(self) -> bool:
        return self.zombie.is_there()


def zombie_of(host_pid: int) -> int:
    """The pid of a zombie by the host's number; 0: it is none."""
    for pid in zombie_pids():
        c = lib.zombie_find(pid)
        if c != ffi.NULL and c.tid == host_pid:
            return pid
    return 0


def at_end(name: bytes, make: Callable[[Subject], bytes]) -> Callable[[Subject], bytes]:
    """The content of a file of /proc/PID; of one that was opened while its process lived, also when it is a zombie."""
    if name not in _FILES:
        return make

    def made(subject: Subject) -> bytes:
        try:
            return make(subject)
        except ESRCH:
            pid = zombie_of(subject.tgid)
            if not pid:
                raise
            return _FILES[name][1](Zombie(pid, lib.zombie_find(pid)))

    return made


class ZombieDirectory(Directory):
    """/proc/PID"""

    __slots__ = ("zombie",)

    def __init__(self, zombie: Zombie) -> None:
        super().__init__()
        self.zombie = zombie

    def process(self) -> tuple[int, int] | None:
        return self.zombie.pid, self.zombie.host_pid

    def owner(self) -> tuple[int, int]:
        return self.zombie.owner()

    def is_valid(self) -> bool:
        return self.zombie.is_there()

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        if not self.zombie.is_there():
            return None
        if name in _FILES:
            mode, make = _FILES[name]
            return _ZombieFile(self.zombie, make, mode)
        if name in _LINKS:
            return _Gone()
        if name in _DIRECTORIES:
            return Directory()
        return None

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        entries = [(name, S_IFREG) for name in _FILES]
        return entries + [(name, S_IFLNK) for name in _LINKS] + [(name, S_IFDIR) for name in _DIRECTORIES]
