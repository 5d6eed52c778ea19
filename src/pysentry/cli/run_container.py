"""`run` as a runtime's verb: create, start, and in the foreground wait for the end and delete. The direct command is
cli/run.py."""

from __future__ import annotations

from pysentry.cli.create import request_of
from pysentry.oci.foreground import run_container as run_in_foreground
from pysentry.oci.lifecycle import create, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def run_container(call: Call) -> int:
    """The program's status as a shell shows it; 0 when it was detached."""
    request = request_of(call)
    request.is_detached = call.flag("detach")
    if not request.is_detached:
        return run_in_foreground(call.store, request, call.settings, call.log, is_kept=call.flag("keep"))
    create(call.store, request, call.settings, call.log)
    start(call.store, request.identity, call.log)
    return 0
