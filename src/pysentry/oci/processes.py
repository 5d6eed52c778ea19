"""What a container's processes are and may use together, and stopping them: `ps`, `pause`, `resume`, `update`."""

from __future__ import annotations

from pysentry.oci import cgroups, client, ending
from pysentry.oci.errors import NotPausedError, NotRunningError
from pysentry.oci.state import CREATED, CREATING, PAUSED, RUNNING, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.spec_resources import Resources
    from pysentry.oci.state import Directory, Store


def pids_inside(directory: Directory) -> list[int]:
    """Host pids: the one that `create` told, which engines look for, and those of the programs. Of a frozen container
    all of its cgroup's: its sentry can't be asked. A stopped one has none. Raises NotRunningError: not made yet."""
    record = directory.load()
    status = ending.status_of(directory, record)
    if status == STOPPED:
        return []
    if status == CREATING:
        raise NotRunningError
    if status == PAUSED and record.cgroup:
        return cgroups.reopen(record.cgroup).pids()
    return sorted({record.sentry.pid, *client.pids(directory)})


def pause(store: Store, identity: str) -> None:
    """By the freezer; without a cgroup the sentry stops all tasks. Raises NotRunningError."""
    with store.look(identity) as directory:  # `create` may hold the lock for long
        if ending.status_of(directory, directory.load()) not in (CREATED, RUNNING):
            raise NotRunningError
    with store.locked(identity) as directory:
        record = directory.load()
        if ending.status_of(directory, record) not in (CREATED, RUNNING):
            raise NotRunningError
        if record.cgroup:
            cgroups.reopen(record.cgroup).freeze()
            return
        client.ask(directory, {"op": "pause"})
        record.is_paused = True
        directory.save(record)


def resume(store: Store, identity: str) -> None:
    """Raises NotPausedError."""
    with store.look(identity) as directory:
        if ending.status_of(directory, directory.load()) != PAUSED:
            raise NotPausedError
    with store.locked(identity) as directory:
        record = directory.load()
        if ending.status_of(directory, record) != PAUSED:
            raise NotPausedError
        if record.cgroup:
            cgroups.reopen(record.cgroup).thaw()
        if record.is_paused:
            client.ask(directory, {"op": "resume"})
            record.is_paused = False
            directory.save(record)


def update_resources(store: Store, identity: str, resources: Resources) -> list[str]:
    """Sets what is given and leaves the rest. Returns warnings. Raises NotRunningError, CgroupError."""
    with store.look(identity) as directory:
        record = directory.load()
        if ending.status_of(directory, record) in (STOPPED, CREATING):
            raise NotRunningError
        return cgroups.reopen(record.cgroup).update(resources)
