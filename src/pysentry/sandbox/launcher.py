"""From a RunConfig to an exit status: forks the gofer first, then lets boot do the rest.

Owns the fork of the gofer and how its end is waited for. The gofer is forked before the sentry's modules are
imported, so that both start at the same time on two CPUs and the gofer's memory holds nothing of the sentry.
"""

from __future__ import annotations

import os
import sys

from pysentry.sandbox.errors import EXIT_OURS, SandboxError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from gofer.tree import Tree
    from pysentry.sandbox.config import RunConfig


class Gofer:
    """The gofer's pid and the sentry's end of the socket (CLOEXEC, SOCK_SEQPACKET)."""

    __slots__ = ("pid", "sock")

    def __init__(self, pid: int, sock: int) -> None:
        self.pid = pid
        self.sock = sock


def launch(config: RunConfig) -> int:
    """Runs one sandbox to its end. The caller's process becomes the sentry, so leave with os._exit afterwards.

    Returns:
        the exit status for the shell: the program's, or 128 + the signal that ended it.

    Raises:
        SandboxError: with the line to print and the status to exit with.
    """
    os.closerange(3, 1 << 30)  # what our caller left open is neither ours nor the program's
    config.closed_stdio = fill_standard_descriptors()
    gofer = start_gofer(config)
    from pysentry.sandbox import report
    from pysentry.sandbox.boot import boot

    try:
        return boot(config, gofer)
    except SandboxError as error:
        report.write_failure(error.status)
        raise


def launch_container(config: RunConfig) -> NoReturn:
    """Makes the calling process the sentry of a container, to its end: it exits, or dies of a signal, as the first
    program did. What goes wrong before that one runs is told over container.boot_fd.

    The caller forked, left the caller's session and joined the cgroup; nothing of it may be needed again.
    """
    container = config.container
    assert container is not None
    preserved = range(3, 3 + container.preserve_fds)
    handles = (container.boot_fd, container.control_fd, container.console_fd, container.log_fd)
    _close_all_but({fd for fd in (*handles, config.netns_fd, config.ipcns_fd, *preserved) if fd > 2})
    config.closed_stdio = fill_standard_descriptors()
    failure: SandboxError | None = None
    try:
        gofer = start_gofer(config)
    except SandboxError as error:
        failure = error
    from pysentry.sandbox.boot import boot
    from pysentry.sandbox.control import BootChannel

    channel = BootChannel(container.boot_fd)
    try:
        if failure is not None:
            raise failure
        status = boot(config, gofer, channel)
    except SandboxError as error:
        channel.tell({"stage": "failed", "error": str(error), "status": error.status})
        os._exit(error.status)
    except BaseException as error:
        channel.tell({"stage": "failed", "error": f"internal error: {error!r}", "status": EXIT_OURS})
        os._exit(EXIT_OURS)
    if os.WIFSIGNALED(status):
        from pysentry.platform.native import lib

        lib.sandbox_die_of(os.WTERMSIG(status))
        os._exit(128 + os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _close_all_but(kept: set[int]) -> None:
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1 << 30)


def fill_standard_descriptors() -> tuple[int, ...]:
    """Opens /dev/null where 0, 1 or 2 is closed, or descriptors of ours would land there. Which ones were."""
    closed = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # the lowest free number: this one
            closed.append(fd)
    return tuple(closed)


def start_gofer(config: RunConfig) -> Gofer:
    """Forks the gofer. It reports a tree it cannot serve in its answer to HELLO, not here.

    Raises:
        SandboxError: no process or socket to be had; the source of a container's mount is missing.
    """
    import _socket

    if config.mounts:
        from pysentry.sandbox.container_trees import check_sources

        check_sources(config)
    try:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        if sys.stdout is not None:  # it was closed when Python started
            sys.stdout.flush()
        pid = os.fork()
    except OSError as error:
        raise SandboxError(f"cannot start the gofer: {describe(error.errno or 0)}") from None
    if pid == 0:
        try:
            _become_gofer(theirs.detach(), config)
        finally:
            os._exit(1)
    theirs.close()
    return Gofer(pid, ours.detach())


def _become_gofer(sock: int, config: RunConfig) -> None:
    # A group of its own: the caller's terminal signals the one in front. Not a session: each has its own group in the
    # host's scheduler (CONFIG_SCHED_AUTOGROUP), and going from one to the other and back would cost 1 us per request.
    os.setpgid(0, 0)
    from gofer.server import serve

    serve(sock, trees(config), is_killed_with_parent=True, id_ranges=(config.uid_map, config.gid_map))


def trees(config: RunConfig) -> list[Tree]:
    """What the gofer serves, by tree number: the root first, then each bind.

    The root counts as unchanging while the sandbox runs, as overlayfs asks of a lower layer: what was found once is
    kept. Binds are there to share a directory with the host, so they are looked at again.
    """
    if config.container is not None or config.mounts:
        from pysentry.sandbox.container_trees import container_trees

        return container_trees(config)
    from gofer.tree import Tree

    binds = [Tree(source, writable=not is_read_only) for source, _, is_read_only in config.binds]
    return [Tree(config.rootfs, immutable=True), *binds]
