"""Process 1 of an engine's machine (see engine_host.py): mounts what is private, reaps, and ends when its stdin does.

Run by path with `python -I -S`; imports nothing of the tests. Arguments: directories below /var/lib that become empty
(an engine's layers cannot lie on an overlay). Changes in the rest of /var/lib and in /etc, and plain
directories in /sys/fs/cgroup, stay on the machine.
Writes its pid, as the host sees it, when everything stands.
"""

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys

CHANGEABLE = ("/etc", "/var/lib")
CGROUPS = "/sys/fs/cgroup"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def keep_cgroup_directories() -> None:
    """Engines make directories for controllers that a machine with version 1 has not; on the host they would stay."""
    if os.path.exists(CGROUPS + "/cgroup.controllers"):
        return
    aside = "/run/.cgroups"
    os.mkdir(aside)
    mount("--rbind", CGROUPS, aside)
    mount("-t", "tmpfs", "-o", "mode=755", "private", CGROUPS)
    for entry in os.scandir(aside):
        here = f"{CGROUPS}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), here)
        elif os.path.ismount(entry.path):
            os.mkdir(here)
            mount("--bind", entry.path, here)
    subprocess.run(["umount", "--recursive", "--lazy", aside], check=True)


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack("16sH22x", request)[1] | IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags))


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    pid = os.readlink("/proc/self")  # still the host's /proc
    mount("-t", "tmpfs", "-o", "mode=755", "private", "/run")
    for directory in CHANGEABLE:
        upper, work = (f"/run/.changes{directory}/{name}" for name in ("upper", "work"))
        os.makedirs(upper)
        os.makedirs(work)
        mount("-t", "overlay", "-o", f"lowerdir={directory},upperdir={upper},workdir={work}", "changes", directory)
    for directory in sys.argv[1:]:
        os.makedirs(directory, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755", "private", directory)
    keep_cgroup_directories()
    mount("-t", "proc", "proc", "/proc")
    mount("--make-rshared", "/")
    bring_up_loopback()
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.write(1, pid.encode() + b"\n")
    os.dup2(2, 1)
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 1):
            return  # the kernel kills the rest of the pid namespace
        if woken in ready:
            os.read(woken, 4096)
        reap()


main()
