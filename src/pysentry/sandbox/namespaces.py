"""The sentry's own namespaces, its unprivileged host user, its empty root directory.

Owns the order in which these are entered and what is said when one cannot be had. The workload's user and pid
namespaces, nested in ours, are made when the engine clones it. Nothing here has a weaker mode: what cannot be had
raises NamespaceError (user_namespaces(7), SECURITY.md "The sentry").
"""

from __future__ import annotations

import os
import time
from errno import ENOENT

from pysentry.platform.native import ffi, lib
from pysentry.sandbox.config import SETTINGS_OF_IPC
from pysentry.sandbox.errors import NamespaceError, describe
from pysentry.sandbox.host_user import is_in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysentry.sandbox.config import RunConfig

FIRST_SANDBOX_UID = 0x7000_0000
"""Started by root, a sandbox runs as host user FIRST_SANDBOX_UID + pid: above what distributions, systemd and
container engines hand out, and no two sandboxes share one, so none can signal or trace another's processes."""


class Namespaces:
    """What enter_namespaces() leaves behind: ids on the host, and the descriptor of /proc (CLOEXEC)."""

    __slots__ = ("gid", "proc_fd", "uid")

    def __init__(self, uid: int, gid: int, proc_fd: int) -> None:
        self.uid = uid
        self.gid = gid
        self.proc_fd = proc_fd


def enter_namespaces(config: RunConfig) -> Namespaces:
    """Leaves root if we have it, then enters private user, mount, ipc, uts, cgroup and (without --net host) network
    namespaces. Call it after the gofer was forked and every host file is open, with one thread only.

    Raises:
        NamespaceError: names the step, why it failed, and what to do.
    """
    proc_fd = -1
    if config.netns_fd >= 0:
        _check(lib.sandbox_join(config.netns_fd, lib.SANDBOX_NS_NET), "cannot join the network namespace")
        _allow_low_ports()
        _set_network(config.sysctl)
        os.close(config.netns_fd)
    has_own_ipc = False
    if os.geteuid() == 0:
        has_own_ipc = _share_ipc_settings(config)
        # Only now, as root of the host, a procfs can be had that hides everybody else's processes.
        proc_fd = lib.sandbox_fresh_proc()
        drop_root()
    if config.ipcns_fd >= 0:
        os.close(config.ipcns_fd)
    uid, gid = os.geteuid(), os.getegid()
    _check(lib.sandbox_set_dumpable(1), "cannot write our own id maps")  # a change of user cleared it
    unshared = lib.sandbox_unshare(lib.SANDBOX_NS_USER)
    if unshared < 0:
        _check(unshared, "no user namespace", _user_namespace_hint())
    _write_id_maps(uid, gid)
    wanted = lib.SANDBOX_NS_MOUNT | lib.SANDBOX_NS_UTS | lib.SANDBOX_NS_CGROUP
    if not has_own_ipc:
        wanted |= lib.SANDBOX_NS_IPC
    has_own_network = config.net == "none" and config.netns_fd < 0
    if has_own_network:
        wanted |= lib.SANDBOX_NS_NET
    _check(
        lib.sandbox_unshare(wanted),
        "no private mount, ipc, uts, cgroup and network namespaces",
        "look at the limits in /proc/sys/user/max_*_namespaces, and at the seccomp profile of a container around us",
    )
    if has_own_network:
        _check(lib.sandbox_loopback_up(), "cannot bring up the loopback interface")
        _allow_low_ports()
        _set_network(config.sysctl)
    if proc_fd < 0:
        proc_fd = _check(lib.sandbox_detached_proc(), "cannot take a copy of /proc along")
    return Namespaces(uid, gid, proc_fd)


def _share_ipc_settings(config: RunConfig) -> bool:
    """A pod's settings of System V IPC: as they were given, or as the namespace to join has them. True: we are in an
    ipc namespace of our own."""
    given = any(name.startswith(SETTINGS_OF_IPC) for name in config.sysctl)
    if config.ipcns_fd < 0 and not given:
        return False
    from pysentry.sandbox import ipc_settings

    if config.ipcns_fd >= 0:
        config.sysctl = ipc_settings.settings_of(config.ipcns_fd) | config.sysctl
    return ipc_settings.note(config.sysctl)


def drop_root() -> None:
    """Becomes an unprivileged host user for good, without groups. In a user namespace that maps only root (rootless
    container) there is no other user: we stay what we are, which is unprivileged outside."""
    uid = FIRST_SANDBOX_UID + os.getpid()
    try:
        os.setgroups([])
    except OSError:
        pass  # denied in a user namespace made without privileges, where groups could not grant anything either
    for candidate in (uid, 65534):
        try:
            os.setresgid(candidate, candidate, candidate)
            os.setresuid(candidate, candidate, candidate)
        except OSError:
            continue
        return
    if not is_in_user_namespace():
        raise NamespaceError("cannot leave root: setresuid failed; run pysentry as an ordinary user instead")


def empty_root() -> None:
    """Leaves the host's mount tree for an empty read-only one. Nothing can be imported or opened by path afterwards.

    Raises:
        NamespaceError: pivot_root refused (EINVAL in a chroot or on an initramfs).
    """
    _check(
        lib.sandbox_empty_root(),
        "cannot move into an empty root directory",
        "in a chroot or on an initramfs, start from a mounted root (unshare -m, mount --bind, pivot_root)",
    )


def leave_view() -> None:
    """Of a container: makes room in our mount namespace for its files, which privileged processes of the host look for
    there (gofer/view.py), and goes where we cannot see any of them. Call it when nothing more is cloned: who was
    chrooted gets no user namespace.

    Raises:
        NamespaceError.
    """
    _check(lib.sandbox_leave_view(), "cannot move into an empty root directory")


def _check(result: int, what: str, hint: str = "") -> int:
    if result < 0:
        raise NamespaceError(f"{what}: {describe(result)}" + (f"; {hint}" if hint else ""))
    return result


def _write_id_maps(uid: int, gid: int) -> None:
    """Maps our one user and group to themselves. Without setgroups(2) denied an ordinary user may not map a group."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            _write_map(f"/proc/self/{name}", text.encode())
        except OSError as error:
            raise NamespaceError(
                f"no user namespace: writing /proc/self/{name}: {describe(error.errno or 0)}; "
                "is /proc mounted and writable here?"
            ) from None


def _write_map(path: str, content: bytes) -> None:
    """Tries a few times: whoever reads our /proc directory while we change users may, for a moment, make its files
    root's again (the kernel's pid_revalidate stores the owner that it looked up before)."""
    for attempt in range(5):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except PermissionError:
            if attempt == 4:
                raise
            time.sleep(0.001)
            continue
        try:
            os.write(fd, content)
        finally:
            os.close(fd)
        return


def _allow_low_ports() -> None:
    """Ports below 1024 of our own network namespace, for servers that think they are root. Best effort: /proc/sys may
    be read-only in a container; then bind answers EACCES."""
    try:
        fd = os.open("/proc/sys/net/ipv4/ip_unprivileged_port_start", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, b"0")
    except OSError:
        pass
    finally:
        os.close(fd)


_SHOWN_ONLY = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
"""What these allow is decided otherwise: ports by net/socket.py, and there are no sockets for pings."""


def _set_network(settings: Mapping[str, str]) -> None:
    """The container's own settings of its network namespace, where it is not the host's. NamespaceError."""
    for name, value in settings.items():
        if not name.startswith("net.") or name in _SHOWN_ONLY:
            continue
        path = "/proc/sys/" + name.translate(str.maketrans("./", "/."))
        try:
            if ".." in path.split("/"):
                raise OSError(ENOENT, "..")
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise NamespaceError(f'sysctl "{name}" cannot be set to "{value}": {describe(error.errno or 0)}') from None


def _user_namespace_hint() -> str:
    """What forbids user namespaces here, and how to allow them."""
    for path, value, advice in (
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns",
        ),
    ):
        try:
            with open(path, encoding="ascii") as content:
                if content.read().strip() == value:
                    return f"they are switched off here; as root: {advice}"
        except OSError:
            continue
    return "a container's seccomp profile or a chroot can forbid them; `pysentry doctor` tells more"


def close_descriptors(keep: list[int]) -> None:
    """Closes every descriptor above 2 that is not listed."""
    numbers = sorted(set(keep))
    _check(lib.sandbox_close_all_but(ffi.new("int[]", numbers or [0]), len(numbers)), "cannot close descriptors")
