"""`checkpoint` and `restore`: refused."""

from __future__ import annotations

from pysentry.oci.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pysentry.cli.verbs import Call


def checkpoint(call: Call) -> NoReturn:
    raise UnsupportedError(f"{call.verb} is not supported: the state of a sandbox cannot be saved")


def restore(call: Call) -> NoReturn:
    checkpoint(call)
