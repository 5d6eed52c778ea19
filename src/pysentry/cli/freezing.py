"""`pause` and `resume`: all processes of a container stand still, and go on."""

from __future__ import annotations

from pysentry.oci import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def pause(call: Call) -> int:
    processes.pause(call.store, call.words[0])
    return 0


def resume(call: Call) -> int:
    processes.resume(call.store, call.words[0])
    return 0
