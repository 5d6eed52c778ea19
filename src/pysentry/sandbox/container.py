"""What a sandbox needs beyond a run when verbs of an OCI runtime steer it from outside.

Owns the description only: oci/lifecycle.py makes it, boot.py and control.py use it.
"""

from __future__ import annotations


class CgroupDirectory:
    """One hierarchy as a container sees it.

    name: of the directory below its `cgroup` mount; "" is the mount point itself: cgroup v2.
    controllers: as /proc/PID/cgroup names them. host: the host's directory.
    """

    __slots__ = ("controllers", "host", "name")

    def __init__(self, name: str, controllers: tuple[str, ...], host: str) -> None:
        self.name = name
        self.controllers = controllers
        self.host = host

    @property
    def links(self) -> list[str]:
        """Names of controllers that lead to it, where it has several ("cpu" to "cpu,cpuacct")."""
        return [one for one in self.controllers if self.name not in (one, one.removeprefix("name="))]


class Container:
    """A container's handles. All descriptors are close-on-exec and survive launch_container()'s clean-up.

    boot_fd: SOCK_SEQPACKET end of the pair with `create`; control_fd: the listening control socket;
    console_fd: the connected console socket that gets the pty master, or -1;
    log_fd: where the sentry's own messages go (its stderr), or -1: nowhere;
    preserve_fds: descriptors 3 .. 3+N-1 of the caller go to the first program;
    keeps_init: pid 1 is spared from signals it has no handler for, as in a pid namespace of its own;
    cgroup: what it sees of its own cgroup.
    """

    __slots__ = ("boot_fd", "cgroup", "console_fd", "control_fd", "identity", "keeps_init", "log_fd", "preserve_fds")

    def __init__(self, identity: str, boot_fd: int, control_fd: int) -> None:
        self.identity = identity
        self.boot_fd = boot_fd
        self.control_fd = control_fd
        self.console_fd = -1
        self.log_fd = -1
        self.preserve_fds = 0
        self.keeps_init = True
        self.cgroup: list[CgroupDirectory] = []
