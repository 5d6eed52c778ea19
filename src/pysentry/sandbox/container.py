"""What a sandbox needs beyond a run when verbs of an OCI runtime steer it from outside.

Owns the description only: oci/lifecycle.py makes it, boot.py and control.py use it.
"""

from __future__ import annotations


class Container:
    """A container's handles. All descriptors are close-on-exec and survive launch_container()'s clean-up.

    boot_fd: SOCK_SEQPACKET end of the pair with `create`; control_fd: the listening control socket;
    console_fd: the connected console socket that gets the pty master, or -1;
    log_fd: where the sentry's own messages go (its stderr), or -1: nowhere;
    preserve_fds: descriptors 3 .. 3+N-1 of the caller go to the first program;
    keeps_init: pid 1 is spared from signals it has no handler for, as in a pid namespace of its own;
    cgroup: the container's cgroup directories on the host by controller ("" for v2), for the view inside.
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
        self.cgroup: dict[str, str] = {}
