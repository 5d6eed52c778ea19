"""`events`: a container's statistics, once or again and again, and each time that the kernel ran out of its memory."""

from __future__ import annotations

import os

from pysentry.cli.verbs import write_out
from pysentry.oci import cgroups
from pysentry.oci.cgroups.events import stats_event, stream
from pysentry.oci.ending import status_of
from pysentry.oci.errors import OciError, UsageError
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
        write_out(encode(stats_event(record.identity, cgroup)) + "\n")
        return 0
    _follow(record, cgroup, interval_s)
    return 0


def _interval(text: str) -> float:
    try:
        return parse_duration("--interval", text)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _follow(record: Record, cgroup: Cgroup, interval_s: float) -> None:
    try:
        sentry = os.pidfd_open(record.sentry.pid)
    except OSError:
        return
    try:
        if record.sentry.is_alive:  # the descriptor is of that process, and not of another one with its number
            for document in stream(record.identity, cgroup, interval_s, sentry):
                write_out(encode(document) + "\n")
    finally:
        os.close(sentry)
