"""`metrics`: numbers of all containers below --root, for Prometheus."""

from __future__ import annotations

from pysentry.cli.verbs import write_out
from pysentry.oci.metrics import collect, render
from pysentry.oci.state import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def metrics(call: Call) -> int:
    root = call.text("root")  # also after the verb
    write_out(render(collect(Store(root) if root else call.store)))
    return 0
