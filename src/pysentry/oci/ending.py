"""How a container is told to end and is removed: `kill` and `delete`, and what status it has meanwhile.

Killing needs no lock, so it works while another verb holds it (a `create` in a slow hook); removing does.
"""

from __future__ import annotations

import os

from pysentry.oci import client, hooks
from pysentry.oci.errors import NoSuchContainerError, NotRunningError, NotStoppedError, OciError
from pysentry.oci.host_process import SIGKILL
from pysentry.oci.state import CREATED, CREATING, PAUSED, STOPPED, check_id
from pysentry.sandbox.messages import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.log import Log
    from pysentry.oci.state import Directory, Record, Store

PATIENCE_S = 10.0
"""As runc's: for processes that were killed to be gone."""


def status_of(directory: Directory, record: Record) -> str:
    """creating, created, running, paused or stopped."""

    def is_frozen() -> bool:
        if not record.cgroup:
            return False
        from pysentry.oci import cgroups

        return cgroups.reopen(record.cgroup).is_frozen()

    return record.status(lambda: client.has_started(directory), is_frozen)


def kill(store: Store, identity: str, number: int, is_for_all: bool) -> None:
    """Signals pid 1, or every process. Raises NoSuchContainerError, NotRunningError (never with is_for_all)."""
    with store.look(identity) as directory:
        record = directory.load()
        status = status_of(directory, record)
        if status in (STOPPED, CREATING):
            if is_for_all and status == STOPPED:
                return
            raise NotRunningError
        if number == 0:
            return
        try:
            if number == SIGKILL:
                _kill_sentry(record)
            elif status == PAUSED:  # it can't answer; it will be there when the container goes on
                record.sentry.signal(number)
            else:
                client.signal(directory, number, is_for_all)
        except NotRunningError:
            if not is_for_all:
                raise


def _kill_sentry(record: Record) -> None:
    """Its death is pid 1's by SIGKILL, in the sandbox and for whoever waits for it."""
    if not record.sentry.signal(SIGKILL):
        raise NotRunningError
    if record.cgroup:
        from pysentry.oci import cgroups

        cgroups.reopen(record.cgroup).thaw()


def end(record: Record, log: Log) -> None:
    """Kills whatever is left of a container and waits until it is gone. Raises OciError: it will not go."""
    if record.stored == CREATING:
        record.creator.kill_with_children()  # such as a hook
        record.creator.wait_dead(PATIENCE_S)
    record.sentry.signal(SIGKILL)
    if record.cgroup:
        from pysentry.oci import cgroups

        try:
            cgroups.reopen(record.cgroup).kill()
        except OciError as error:
            log.warn(str(error))
    if not record.sentry.wait_dead(PATIENCE_S):
        raise OciError("container init still running")


def delete(store: Store, identity: str, is_forced: bool, log: Log) -> None:
    """Removes a container that is stopped, or created; with is_forced in whatever state, and also if there is none.

    Raises:
        NoSuchContainerError, NotStoppedError; OciError: something of it could not be removed; it can be tried again.
    """
    check_id(identity)
    try:
        with store.look(identity) as directory:
            record = _load(directory, is_forced)
            if record is not None:
                status = status_of(directory, record)
                if is_forced:
                    end(record, log)
                elif status not in (STOPPED, CREATED):
                    raise NotStoppedError(identity, status)
        with store.locked(identity) as directory:
            record = _load(directory, is_forced)
            if record is not None:  # whatever was saved last before its creator died, or a new one of this name
                status = status_of(directory, record)
                if not is_forced and status not in (STOPPED, CREATED):
                    raise NotStoppedError(identity, status)
                end(record, log)
                _destroy_cgroup(record)
            directory.remove()
    except NoSuchContainerError:
        if not is_forced:
            raise
        return
    except FileNotFoundError:
        return  # the whole of --root went meanwhile
    except OSError as error:
        raise OciError(f"cannot remove {store.root}/{identity}: {error.strerror}") from None
    if record is not None:
        run_poststop(record, log)


def _load(directory: Directory, is_forced: bool) -> Record | None:
    """None: a directory that holds no state, or none that can be read: with is_forced it is removed."""
    try:
        return directory.load()
    except OciError:
        if not is_forced:
            raise
        return None


def _destroy_cgroup(record: Record) -> None:
    if record.cgroup:
        from pysentry.oci import cgroups

        cgroups.reopen(record.cgroup).destroy()


def run_poststop(record: Record, log: Log) -> None:
    """After the container is gone. Failures are warnings."""
    listed = record.hooks_of(hooks.POSTSTOP)
    if listed:
        bundle = record.bundle if os.path.isdir(record.bundle) else "/"
        state = encode(record.for_hooks(STOPPED))
        for failure in hooks.run_hooks(hooks.POSTSTOP, listed, state, bundle, goes_on=True):
            log.warn(str(failure))
