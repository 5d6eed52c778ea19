"""`delete`: removes a container."""

from __future__ import annotations

from pysentry.oci.ending import delete as delete_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def delete(call: Call) -> int:
    delete_container(call.store, call.words[0], call.flag("force"), call.log)
    return 0
