"""`list`: the containers below --root."""

from __future__ import annotations

from pysentry.cli.state import describe
from pysentry.cli.verbs import write_out
from pysentry.oci.errors import NoSuchContainerError, OciError, UsageError
from pysentry.sandbox.messages import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pysentry.cli.verbs import Call
    from pysentry.sandbox.messages import Document

COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")
LEAST_WIDTH, GAP = 12, 3


def listing(call: Call) -> int:
    form = call.text("format") or "table"
    if form not in ("table", "json"):
        raise UsageError("invalid format option")
    found = list(_describe_all(call))
    if call.flag("quiet"):
        write_out("".join(f"{one['id']}\n" for one in found))
    elif form == "json":
        write_out(encode(found) + "\n")
    else:
        rows = [[str(one[name]) for name in COLUMNS] for one in found]
        write_out(_table([[name.upper() for name in COLUMNS], *rows]))
    return 0


def _describe_all(call: Call) -> Iterator[Document]:
    store = call.store
    for identity in store.identities():
        try:
            with store.look(identity) as directory:
                yield describe(directory)
        except NoSuchContainerError:
            continue  # it went meanwhile
        except OciError as error:
            call.log.warn(f"load container {identity}: {error}")


def _table(rows: list[list[str]]) -> str:
    """As Go's tabwriter lays runc's out: every cell but the last padded."""
    widths = [max(LEAST_WIDTH, *(len(row[at]) + GAP for row in rows)) for at in range(len(COLUMNS) - 1)]
    return "".join("".join(map(str.ljust, row, widths)) + row[-1] + "\n" for row in rows)
