"""`events`: a container's statistics, once or again and again, and each time that the kernel ran out of its memory."""

from __future__ import annotations

import os
import select
import time

from pysentry.cli.verbs import write_out
from pysentry.oci import cgroups
from pysentry.oci.ending import status_of
from pysentry.oci.errors import CgroupError, OciError, UsageError
from pysentry.oci.state import CREATING, STOPPED
from pysentry.sandbox.config import parse_duration
from pysentry.sandbox.errors import ConfigError
from pysentry.sandbox.messages import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call
    from pysentry.oci.cgroups import Cgroup
    from pysentry.oci.state import Record


def events(call: Call) -> int:
    """Ends with the container; with --stats at once."""
    interval_s = _interval(call.text("interval") or "5s")
    with call.store.look(call.words[0]) as directory:
        record = directory.load()
        if status_of(directory, record) in (STOPPED, CREATING):
            raise OciError(f"container with id {record.identity} is not running")
    cgroup = cgroups.reopen(record.cgroup)
    if call.flag("stats"):
        _print_stats(record, cgroup)
        return 0
    _follow(record, cgroup, interval_s)
    return 0


def _interval(text: str) -> float:
    try:
        return parse_duration("--interval", text)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _print_stats(record: Record, cgroup: Cgroup) -> None:
    write_out(encode({"type": "stats", "id": record.identity, "data": cgroup.stats()}) + "\n")


def _follow(record: Record, cgroup: Cgroup, interval_s: float) -> None:
    poll = select.poll()
    try:
        sentry = os.pidfd_open(record.sentry.pid)
    except OSError:
        return
    poll.register(sentry, select.POLLIN)
    watch = None
    try:
        watch = cgroup.oom_watch()
        poll.register(watch.fileno(), watch.events)
    except CgroupError:
        pass  # statistics alone
    due = time.monotonic() + interval_s
    while record.sentry.is_alive:
        ready = [fd for fd, _ in poll.poll(max(0, (due - time.monotonic()) * 1000))]
        if watch is not None and watch.fileno() in ready:
            for _ in range(watch.take()):
                write_out(encode({"type": "oom", "id": record.identity}) + "\n")
        if time.monotonic() >= due and sentry not in ready:
            _print_stats(record, cgroup)
            due += interval_s
