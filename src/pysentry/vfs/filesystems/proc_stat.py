"""/proc/PID/stat, status, limits: the host's numbers with the sandbox's pids, names, ids and states."""

from __future__ import annotations

import os

from pysentry.abi.errno import ESRCH
from pysentry.kernel import resource_limits
from pysentry.kernel.proc_status import OUR_FILTERS, read_host_path, status_fields, status_text
from pysentry.kernel.task import all_tasks, task_of
from pysentry.kernel.tty import ptys
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CTask
    from pysentry.vfs.filesystems.proc_subject import Subject

_STATE_WORDS = {
    b"R": b"R (running)",
    b"S": b"S (sleeping)",
    b"D": b"D (disk sleep)",
    b"T": b"T (stopped)",
    b"t": b"t (tracing stop)",
    b"Z": b"Z (zombie)",
    b"X": b"X (dead)",
    b"I": b"I (idle)",
}
# Numbers of the fields of /proc/PID/stat after the name, counted from the state: proc_pid_stat(5).
_STATE, _PPID, _PGRP, _SESSION, _TTY, _TPGID = range(6)
_RSS_LIMIT, _WCHAN = 22, 32

# Lines of the host's status that are true in here as they stand; the others are made or left out.
_KEPT = (
    b"VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap "
    b"HugetlbPages CoreDumping THP_enabled untag_mask Threads SigPnd ShdPnd SigBlk SigIgn SigCgt "
    b"Speculation_Store_Bypass SpeculationIndirectBranch Cpus_allowed Cpus_allowed_list Mems_allowed Mems_allowed_list "
    b"voluntary_ctxt_switches nonvoluntary_ctxt_switches"
).split()


def state_letter(state: int, is_stopped: bool, host_letter: bytes) -> bytes:
    """What a task is doing. On the host one that waits in the sentry hangs in a trap, a stopped one in its tracer."""
    if state == lib.TASK_PARKED:
        return b"S"
    if state == lib.TASK_TRAPPED:
        return b"R"
    if is_stopped:
        return b"T"
    if host_letter in b"tTD":
        return b"R"
    return host_letter


def _letter(c: CTask, host_letter: bytes) -> bytes:
    return b"t" if lib.task_is_held(c) else state_letter(c.state, bool(lib.task_is_stopped(c)), host_letter)


def stat(subject: Subject) -> bytes:
    """proc_pid_stat(5): one line."""
    c = subject.c
    text = subject.read_host("stat")
    fields = text[text.rindex(b")") + 2 :].split()
    fields[_STATE] = _letter(c, fields[_STATE])
    fields[_PPID] = b"%d" % parent_pid(c)
    pgrp, session = _group_and_session(subject, c, int(fields[_PGRP]), int(fields[_SESSION]))
    fields[_PGRP], fields[_SESSION] = b"%d" % pgrp, b"%d" % session
    tty, foreground = (0, -1) if fields[_TTY] == b"0" else _terminal(c)
    fields[_TTY], fields[_TPGID] = b"%d" % tty, b"%d" % foreground
    fields[_RSS_LIMIT] = b"%d" % c.group.rlimit_cur[resource_limits.RSS]
    fields[_WCHAN] = b"0"
    return b"%d (%s) %s\n" % (number_of(c), task_of(c).comm, b" ".join(fields))


def number_of(c: CTask) -> int:
    """A task's tid in the sandbox."""
    return int(lib.task_ns_tid(c))


def parent_pid(c: CTask) -> int:
    """The parent's pid; 0 for the first process. Orphans belong to whom the host gave them."""
    try:
        status = subject_status(c)
    except ESRCH:
        return 0
    parent = lib.task_find(int(status.get(b"PPid", b"0")))
    return number_of(parent) if parent != ffi.NULL else 0


def subject_status(c: CTask) -> dict[bytes, bytes]:
    """The host's status of a task."""
    return status_fields(read_host_path(f"{c.tid}/status"))


def _group_and_session(subject: Subject, c: CTask, pgrp: int, session: int) -> tuple[int, int]:
    """Process group and session. The number of one whose leader is gone is only in the host's status."""
    numbers = []
    for host_number, line in ((pgrp, b"NSpgid"), (session, b"NSsid")):
        leader = lib.task_find(host_number)
        if leader != ffi.NULL:
            numbers.append(number_of(leader))
        else:
            inner = subject_status(c).get(line, b"0").split()
            numbers.append(int(inner[-1]) if inner else 0)
    return numbers[0], numbers[1]


def _terminal(c: CTask) -> tuple[int, int]:
    """(device, foreground process group) of the controlling terminal, written as tty_nr is; (0, -1): none."""
    try:
        session = os.getsid(c.group.tgid)
    except OSError:
        return 0, -1
    for pty in ptys.values():
        if pty.session() == session:
            leader = lib.task_find(pty.foreground())
            device = pty.index & 0xFF | 136 << 8 | (pty.index & ~0xFF) << 12
            return device, number_of(leader) if leader != ffi.NULL else -1
    return 0, -1


def statm(subject: Subject) -> bytes:
    """proc_pid_statm(5)."""
    return subject.read_host("statm")


def status(subject: Subject) -> bytes:
    """proc_pid_status(5)."""
    c = subject.c
    host = status_fields(subject.read_host("status"))
    cred = c.cred
    pid, leader_pid = number_of(c), subject.group.pid
    letter = _letter(c, host.get(b"State", b"S")[:1])
    group_numbers = [host.get(name, b"0").split()[-1:] for name in (b"NSpgid", b"NSsid")]
    pgrp, session = (int(one[0]) if one else 0 for one in group_numbers)
    filters = max(0, int(host.get(b"Seccomp_filters", b"1")) - OUR_FILTERS - c.is_strict)
    queued = host.get(b"SigQ", b"0/0").partition(b"/")[0]
    parent = lib.task_find(int(host.get(b"PPid", b"0")))
    groups = b"".join(b"%d " % gid for gid in cred.groups[0 : cred.ngroups])
    made = {
        b"Name": escape_name(task_of(c).comm),
        b"Umask": b"%04o" % c.fs.umask,
        b"State": _STATE_WORDS.get(letter, letter),
        b"Tgid": b"%d" % leader_pid,
        b"Ngid": b"0",
        b"Pid": b"%d" % pid,
        b"PPid": b"%d" % (number_of(parent) if parent != ffi.NULL else 0),
        b"TracerPid": b"%d" % lib.task_tracer_pid(c),
        b"Uid": b"%d\t%d\t%d\t%d" % (cred.uid, cred.euid, cred.suid, cred.fsuid),
        b"Gid": b"%d\t%d\t%d\t%d" % (cred.gid, cred.egid, cred.sgid, cred.fsgid),
        b"FDSize": b"%d" % max(64, c.files.capacity),
        b"Groups": groups,
        b"NStgid": b"%d" % leader_pid,
        b"NSpid": b"%d" % pid,
        b"NSpgid": b"%d" % pgrp,
        b"NSsid": b"%d" % session,
        b"Kthread": b"0",
        b"SigQ": b"%s/%d" % (queued, min(c.group.rlimit_cur[resource_limits.SIGPENDING], (1 << 31) - 1)),
        b"CapInh": b"%016x" % cred.cap_inheritable,
        b"CapPrm": b"%016x" % cred.cap_permitted,
        b"CapEff": b"%016x" % cred.cap_effective,
        b"CapBnd": b"%016x" % cred.cap_bounding,
        b"CapAmb": b"%016x" % cred.cap_ambient,
        b"NoNewPrivs": b"%d" % cred.no_new_privs,
        b"Seccomp": b"2" if filters else b"%d" % c.is_strict,
        b"Seccomp_filters": b"%d" % filters,
    }
    return status_text(host, made, _KEPT)


def escape_name(name: bytes) -> bytes:
    """proc_task_name(): newlines and backslashes as escapes."""
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


_LIMIT_ROWS = (
    (resource_limits.CPU, b"Max cpu time", b"seconds"),
    (resource_limits.FSIZE, b"Max file size", b"bytes"),
    (resource_limits.DATA, b"Max data size", b"bytes"),
    (resource_limits.STACK, b"Max stack size", b"bytes"),
    (resource_limits.CORE, b"Max core file size", b"bytes"),
    (resource_limits.RSS, b"Max resident set", b"bytes"),
    (resource_limits.NPROC, b"Max processes", b"processes"),
    (resource_limits.NOFILE, b"Max open files", b"files"),
    (resource_limits.MEMLOCK, b"Max locked memory", b"bytes"),
    (resource_limits.AS, b"Max address space", b"bytes"),
    (resource_limits.LOCKS, b"Max file locks", b"locks"),
    (resource_limits.SIGPENDING, b"Max pending signals", b"signals"),
    (resource_limits.MSGQUEUE, b"Max msgqueue size", b"bytes"),
    (resource_limits.NICE, b"Max nice priority", b""),
    (resource_limits.RTPRIO, b"Max realtime priority", b""),
    (resource_limits.RTTIME, b"Max realtime timeout", b"us"),
)


def limits(subject: Subject) -> bytes:
    """proc_pid_limits(5)."""
    group = subject.c.group
    lines = [b"%-25s %-20s %-20s %-10s\n" % (b"Limit", b"Soft Limit", b"Hard Limit", b"Units")]
    for number, name, unit in _LIMIT_ROWS:
        soft, hard = (
            b"unlimited" if value == resource_limits.INFINITY else b"%d" % value
            for value in (group.rlimit_cur[number], group.rlimit_max[number])
        )
        lines.append(b"%-25s %-20s %-20s %-10s\n" % (name, soft, hard, unit))
    return b"".join(lines)


def running_and_total() -> tuple[int, int, int]:
    """(tasks that run, tasks, newest pid) for loadavg."""
    tasks = all_tasks()
    running = sum(1 for c in tasks if c.state in (lib.TASK_RUNNING, lib.TASK_TRAPPED))
    newest = max((number_of(c) for c in tasks), default=1)
    return min(running, len(tasks)), len(tasks), newest
