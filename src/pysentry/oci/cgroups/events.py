"""What `events ID` prints: statistics every so often, and OOMs as they happen. Owns the documents and their order."""

from __future__ import annotations

import select
import time

from pysentry.oci.cgroups.cgroup import Cgroup
from pysentry.oci.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def stats_event(identity: str, cgroup: Cgroup) -> dict[str, Any]:
    """`events --stats`: one document."""
    return {"type": "stats", "id": identity, "data": cgroup.stats()}


def stream(identity: str, cgroup: Cgroup, interval_s: float, end_fd: int) -> Iterator[dict[str, Any]]:
    """The documents as they come, the first statistics after one interval.

    Args:
        interval_s: seconds between statistics, more than 0.
        end_fd: readable when the container has ended, such as a pidfd of its sentry; an OOM is told first.
    """
    poll = select.poll()
    poll.register(end_fd, select.POLLIN)
    try:
        watch = cgroup.oom_watch()
    except CgroupError:  # no memory controller here: there are still statistics
        watch = None
    if watch is not None:
        poll.register(watch.fileno(), watch.events)
    due = time.monotonic() + interval_s
    try:
        while True:
            ready = {fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
            if watch is not None and watch.fileno() in ready:
                for _ in range(watch.take()):
                    yield {"type": "oom", "id": identity}
            if end_fd in ready:
                return
            if time.monotonic() >= due:
                yield stats_event(identity, cgroup)
                due = max(due + interval_s, time.monotonic())
    finally:
        if watch is not None:
            watch.close()
