"""`start`: lets a created container's program run."""

from __future__ import annotations

from pysentry.oci.lifecycle import start as start_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def start(call: Call) -> int:
    start_container(call.store, call.words[0], call.log)
    return 0
