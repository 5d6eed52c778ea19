"""A script: runs a command on the host's kernel, as root inside namespaces of its own.

    python3 -IS namespaces.py PLACE UID GID CMD...

The ruler that runtimes are measured with, and safe to hold a stranger's tests to: user, mount, pid, network, uts and
ipc namespaces; every file of the host read-only but PLACE; /tmp, /dev and /proc of its own; of /proc/sys only what
belongs to those namespaces can be written. UID and GID other than 0 are taken before CMD starts. Ends with CMD's
status, 128+N for a signal; when it is killed, so is everything below it. Imports little: it runs before every test.
"""

import ctypes
import os
import struct
import sys

CLONE_ALL = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x04000000 | 0x08000000  # user ns pid net uts ipc
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
PR_SET_PDEATHSIG, SIGKILL, SIGPIPE, SIGXFSZ = 1, 9, 13, 25
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24
SETUP_FAILED = 250

IDS_WHEN_ROOT = (1 << 32) - 1  # all there are: tests chown to large ones
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Each is per ipc, uts, network, pid or user namespace; all the rest of /proc/sys is the machine's.
WRITABLE_SETTINGS = (
    *(f"kernel/{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni")),
    *(f"kernel/{name}" for name in ("shm_rmid_forced", "msg_next_id", "sem_next_id", "shm_next_id", "auto_msgmni")),
    *(f"kernel/{name}" for name in ("hostname", "domainname", "pid_max", "ns_last_pid")),
    "fs/mqueue",
    "net",
    "user",
)

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [word.encode() if word is not None else None for word in (source, target, kind, data)]
    check(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {source} at {target}")


def bind(source: str, target: str) -> None:
    mount(source, target, None, MS_BIND | MS_REC)


def set_read_only(path: str, is_read_only: bool, flags: int = 0) -> None:
    attr = struct.pack("QQQQ", MOUNT_ATTR_RDONLY if is_read_only else 0, 0 if is_read_only else MOUNT_ATTR_RDONLY, 0, 0)
    what = f"mount_setattr {path}"
    check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, attr, len(attr)), what)


def make_devices() -> None:
    """/dev as containers have it. What is bound must be found before the tmpfs covers it."""
    held = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES if os.path.exists(f"/dev/{name}")}
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755")
    for name, descriptor in held.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY))
        bind(f"/proc/self/fd/{descriptor}", f"/dev/{name}")
        os.close(descriptor)
    for name, kind, data in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", "mode=1777"),
        ("mqueue", "mqueue", None),
    ):
        os.mkdir(f"/dev/{name}")
        mount(kind, f"/dev/{name}", kind, MS_NOSUID, data)
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        os.symlink(target, f"/dev/{name}")
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")


def make_mounts(place: str) -> None:
    """In pid 1 of the new namespaces: /proc needs them."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    bind(place, place)
    set_read_only("/", True, AT_RECURSIVE)
    set_read_only(place, False)
    make_devices()
    mount("tmpfs", "/tmp", "tmpfs", MS_NODEV, "mode=1777")  # set-user-ID programs are tested there
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    bind("/proc/sys", "/proc/sys")
    own = [f"/proc/sys/{name}" for name in WRITABLE_SETTINGS if os.path.exists(f"/proc/sys/{name}")]
    for path in own:
        bind(path, path)
    set_read_only("/proc/sys", True)  # this mount alone, not those on top of it


def raise_loopback() -> None:
    """ioctl(2) SIOCSIFFLAGS IFF_UP on lo: netdevice(7)."""
    family, kind, set_flags, up = 2, 2, 0x8914, 1
    descriptor = libc.socket(family, kind, 0)
    check(libc.ioctl(descriptor, ctypes.c_ulong(set_flags), struct.pack("16sH22x", b"lo", up)), "lo up")
    os.close(descriptor)


def be_command(uid: int, gid: int, argv: list[str]) -> None:
    """As a login would leave it: a session of these namespaces, no signal ignored (Python ignores two)."""
    os.setsid()
    for number in (SIGPIPE, SIGXFSZ):
        libc.signal(number, ctypes.c_void_p(0))
    if (uid, gid) != (0, 0):
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.execvp(argv[0], argv)


def be_init(place: str, uid: int, gid: int, argv: list[str]) -> int:
    """pid 1: it reaps, so that the command is an ordinary process with an ordinary parent."""
    make_mounts(place)
    # The host honours it in its own namespace only; LTP warns in each test of a root that has it in vain.
    check(libc.prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0), "drop CAP_SYS_RESOURCE")
    raise_loopback()
    os.chdir(os.getcwd())  # the same directory through the new mounts
    command = os.fork()
    if command == 0:
        be_command(uid, gid, argv)
    while True:
        pid, status = os.wait()
        if pid == command:
            return status_of(status)


def status_of(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def forked(body, *arguments) -> int:  # type: ignore[no-untyped-def]
    """A child that dies with us and ends with what `body` returns."""
    pid = os.fork()
    if pid:
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL)
        os._exit(body(*arguments))
    except BaseException as error:  # nothing of ours may run on in the child
        print(f"namespaces.py: {error}", file=sys.stderr, flush=True)
        os._exit(SETUP_FAILED)


def be_creator(is_unshared: int, is_mapped: int, arguments: tuple[str, int, int, list[str]]) -> int:
    check(libc.unshare(CLONE_ALL), "unshare")
    os.write(is_unshared, b"x")
    if os.read(is_mapped, 1) != b"x":
        return SETUP_FAILED
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL)  # changing identity cleared it
    return status_of(os.waitpid(forked(be_init, *arguments), 0)[1])


def write_maps(pid: int) -> None:
    """user_namespaces(7). Without privilege: only ourselves, as root, and no groups."""
    if os.geteuid() == 0:
        maps = {"uid_map": f"0 0 {IDS_WHEN_ROOT}", "gid_map": f"0 0 {IDS_WHEN_ROOT}"}
    else:
        maps = {"setgroups": "deny", "uid_map": f"0 {os.getuid()} 1", "gid_map": f"0 {os.getgid()} 1"}
    for name, text in maps.items():
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def main() -> int:
    place, uid, gid, *argv = sys.argv[1:]
    unshared, mapped = os.pipe(), os.pipe()
    child = forked(be_creator, unshared[1], mapped[0], (place, int(uid), int(gid), argv))
    os.close(unshared[1])
    if os.read(unshared[0], 1) == b"x":
        write_maps(child)
        os.write(mapped[1], b"x")
    os.close(mapped[1])
    return status_of(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    raise SystemExit(main())
