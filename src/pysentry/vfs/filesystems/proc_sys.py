"""/proc/sys: settings of the kernel, as far as programs read them.

What root may write is kept for the sandbox alone and changes nothing on the host."""

from __future__ import annotations

import os
import sys

from pysentry.abi.capability import CAP_LAST_CAP, CAP_SYS_ADMIN
from pysentry.abi.errno import EINVAL, EPERM
from pysentry.kernel import mqueue, sysctl
from pysentry.kernel.ipc import RMID_FORCED, limits, next_ids
from pysentry.kernel.uts import NAME_MAX, uts
from pysentry.vfs.filesystems.generated import Directory, File, Node, constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task

_INT_MAX = (1 << 31) - 1
_CORE_PATTERN_MAX = 127
# name: value. A name with "=" in front may be written (a number, kept); others are read only.
_VALUES: dict[str, str] = {
    "kernel/ostype": "Linux",
    "=kernel/pid_max": "4194304",
    "=kernel/threads-max": "127420",
    "kernel/cap_last_cap": str(CAP_LAST_CAP),
    "kernel/ngroups_max": "65536",
    "kernel/overflowuid": "65534",
    "kernel/overflowgid": "65534",
    "=kernel/core_uses_pid": "0",
    "=kernel/core_pipe_limit": "0",
    "kernel/tainted": "0",
    "=kernel/randomize_va_space": "2",
    "kernel/dmesg_restrict": "1",
    "kernel/kptr_restrict": "2",
    "kernel/perf_event_paranoid": "4",
    "kernel/unprivileged_bpf_disabled": "2",
    "kernel/io_uring_disabled": "2",
    "=kernel/panic": "0",
    "=kernel/panic_on_oops": "0",
    "=kernel/sysrq": "0",
    "=kernel/printk": "4\t4\t1\t7",
    "kernel/yama/ptrace_scope": "0",
    "kernel/seccomp/actions_avail": "kill_process kill_thread trap errno user_notif trace log allow",
    "=kernel/sched_autogroup_enabled": "0",
    "=kernel/sched_rt_period_us": "1000000",
    "=kernel/sched_rt_runtime_us": "950000",
    "kernel/sched_child_runs_first": "0",
    "kernel/keys/maxkeys": "200",
    "kernel/keys/maxbytes": "20000",
    "kernel/numa_balancing": "0",
    "kernel/unprivileged_userns_clone": "0",
    "=vm/overcommit_memory": "0",
    "=vm/overcommit_ratio": "50",
    "=vm/max_map_count": "65530",
    "=vm/swappiness": "60",
    "vm/mmap_min_addr": "65536",
    "=vm/dirty_ratio": "20",
    "=vm/dirty_background_ratio": "10",
    "=vm/min_free_kbytes": "67584",
    "=vm/vfs_cache_pressure": "100",
    "=vm/panic_on_oom": "0",
    "=vm/nr_hugepages": "0",
    "=vm/oom_kill_allocating_task": "0",
    "vm/legacy_va_layout": "0",
    "vm/unprivileged_userfaultfd": "0",
    "vm/mmap_rnd_bits": "28",
    "vm/zone_reclaim_mode": "0",
    "=fs/nr_open": "1048576",
    "fs/pipe-user-pages-soft": "16384",
    "fs/pipe-user-pages-hard": "0",
    "fs/aio-nr": "0",
    "=fs/file-max": "9223372036854775807",
    "fs/protected_hardlinks": "1",
    "fs/protected_symlinks": "0",
    "fs/protected_fifos": "0",
    "fs/protected_regular": "0",
    "=fs/suid_dumpable": "0",
    "=fs/leases-enable": "1",
    "fs/overflowuid": "65534",
    "fs/overflowgid": "65534",
    "fs/epoll/max_user_watches": "800000",
    "=net/core/somaxconn": "4096",
    "=net/core/rmem_max": "212992",
    "=net/core/wmem_max": "212992",
    "=net/core/rmem_default": "212992",
    "=net/core/wmem_default": "212992",
    "=net/core/netdev_max_backlog": "1000",
    "=net/core/optmem_max": "131072",
    "=net/ipv4/ip_local_port_range": "32768\t60999",
    "=net/ipv4/tcp_keepalive_time": "7200",
    "=net/ipv4/tcp_keepalive_intvl": "75",
    "=net/ipv4/tcp_keepalive_probes": "9",
    "=net/ipv4/tcp_rmem": "4096\t131072\t6291456",
    "=net/ipv4/tcp_wmem": "4096\t16384\t4194304",
    "=net/ipv4/tcp_mem": "190000\t250000\t380000",
    "=net/ipv4/tcp_fin_timeout": "60",
    "=net/ipv4/tcp_syncookies": "1",
    "=net/ipv4/tcp_timestamps": "1",
    "=net/ipv4/tcp_sack": "1",
    "=net/ipv4/tcp_max_syn_backlog": "512",
    "=net/ipv4/tcp_fastopen": "1",
    "net/ipv4/tcp_available_congestion_control": "reno cubic",
    "net/ipv4/tcp_congestion_control": "cubic",
    "net/ipv4/tcp_allowed_congestion_control": "reno cubic",
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/forwarding": "0",
    "net/ipv4/ping_group_range": "1\t0",
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/conf/lo/disable_ipv6": "0",
    "net/ipv6/bindv6only": "0",
    "net/unix/max_dgram_qlen": "512",
    "user/max_user_namespaces": "0",
}


class LiveSetting:
    """A number that takes effect (kernel/sysctl)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def content(self) -> bytes:
        return b"%d\n" % sysctl.values[self.name]

    def store(self, task: Task, data: bytes) -> None:
        if task.cred.euid != 0:
            raise EPERM("root only")
        text = data.strip()
        if not text.isdigit() or int(text) > _INT_MAX:
            raise EINVAL("a number")
        sysctl.values[self.name] = int(text)


class CorePattern:
    """kernel.core_pattern: kept and shown. No core is ever written, and no program run for one: EPERM for a pipe."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text = b"core"

    def content(self) -> bytes:
        return self.text + b"\n"

    def store(self, task: Task, data: bytes) -> None:
        if task.cred.euid != 0:
            raise EPERM("root only")
        if data.lstrip()[:1] in (b"|", b"@"):
            raise EPERM("a program or socket for cores")
        self.text = data.split(b"\n")[0][:_CORE_PATTERN_MAX]


class Setting:
    """A value that may be written: numbers only, as many as there were."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value.encode()

    def content(self) -> bytes:
        return self.value + b"\n"

    def store(self, task: Task, data: bytes) -> None:
        if task.cred.euid != 0:
            raise EPERM("root only")
        words = data.split()
        if len(words) != len(self.value.split()) or not all(word.lstrip(b"-").isdigit() for word in words):
            raise EINVAL("numbers")
        self.value = b"\t".join(words)


class IpcLimit:
    """A limit of System V IPC: kernel/ipc.py goes by it."""

    __slots__ = ("values",)

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def content(self) -> bytes:
        return b"\t".join(b"%d" % value for value in self.values) + b"\n"

    def store(self, task: Task, data: bytes) -> None:
        if task.cred.euid != 0:
            raise EPERM("root only")
        words = data.split()
        if len(words) > len(self.values) or not words or not all(word.isdigit() for word in words):
            raise EINVAL("numbers")
        for index, word in enumerate(words):
            self.values[index] = min(int(word), (1 << 64) - 1)


class RmidForced(IpcLimit):
    """kernel.shm_rmid_forced: 0 or 1. kernel/shm.py goes by it, where there are segments at all."""

    __slots__ = ()

    def store(self, task: Task, data: bytes) -> None:
        if data.strip() not in (b"0", b"1"):
            raise EINVAL("0 or 1") if task.cred.euid == 0 else EPERM("root only")
        super().store(task, data)
        shm = sys.modules.get("pysentry.kernel.shm")
        if shm is not None:
            shm.rmid_was_forced()


def _drop_caches(task: Task, data: bytes) -> None:
    """The caches are the host's, which drops them when it needs to; only the value is judged."""
    if data.strip() not in (b"1", b"2", b"3", b"4"):
        raise EINVAL("1 to 4")


_BOOT_ID = os.urandom(16)


def _uuid(random: bytes) -> bytes:
    """A version 4 UUID as text."""
    octets = bytearray(random)
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}\n".encode()


def _set_name(field: str) -> Callable[[Task, bytes], None]:
    def store(task: Task, data: bytes) -> None:
        if not task.has_cap(CAP_SYS_ADMIN):
            raise EPERM("CAP_SYS_ADMIN")
        setattr(uts, field, data.split(b"\n")[0][:NAME_MAX])

    return store


def _computed() -> dict[str, File]:
    return {
        "kernel/hostname": File(lambda: uts.nodename + b"\n", 0o644, _set_name("nodename")),
        "kernel/domainname": File(lambda: uts.domainname + b"\n", 0o644, _set_name("domainname")),
        "kernel/osrelease": File(lambda: uts.release + b"\n"),
        "kernel/version": File(lambda: uts.version + b"\n"),
        "kernel/random/uuid": File(lambda: _uuid(os.urandom(16))),
        "kernel/random/boot_id": File(lambda: _uuid(_BOOT_ID)),
        "kernel/random/entropy_avail": File(lambda: b"256\n"),
        "kernel/random/poolsize": File(lambda: b"256\n"),
        "kernel/random/urandom_min_reseed_secs": File(lambda: b"60\n"),
        "fs/file-nr": File(lambda: b"1024\t0\t9223372036854775807\n"),
        "fs/dentry-state": File(lambda: b"0\t0\t45\t0\t0\t0\n"),
        "fs/inode-nr": File(lambda: b"0\t0\n"),
    }


def make_sys_directory() -> Directory:
    """/proc/sys."""
    files: dict[str, Node] = dict(_computed())
    ipc = {f"kernel/{name}": values for name, values in (limits | next_ids).items()}
    for name, values in (ipc | {f"fs/mqueue/{name}": values for name, values in mqueue.limits.items()}).items():
        limit = (RmidForced if values is limits[RMID_FORCED] else IpcLimit)(values)
        files[name] = File(limit.content, 0o644, limit.store)
    core_pattern = CorePattern()
    files["kernel/core_pattern"] = File(core_pattern.content, 0o644, core_pattern.store)
    files["vm/drop_caches"] = File(constant(b"0\n"), 0o200, _drop_caches)
    for name in sysctl.values:
        live = LiveSetting(name)
        files[name] = File(live.content, 0o644, live.store)
    for name, value in _VALUES.items():
        setting = Setting(value)
        if name.startswith("="):
            files[name[1:]] = File(setting.content, 0o644, setting.store)
        else:
            files[name] = File(setting.content)
    return tree(files)


def tree(files: dict[str, Node]) -> Directory:
    """Directories for nodes named by paths."""
    entries: dict[bytes, Node] = {}
    below: dict[str, dict[str, Node]] = {}
    for path, node in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            below.setdefault(first, {})[rest] = node
        else:
            entries[first.encode()] = node
    for name, inner in below.items():
        entries[name.encode()] = tree(inner)
    return Directory(entries)
