"""pysentry: runs unmodified Linux programs in a sandbox that answers their system calls itself.

`pysentry.run(["ls", "/"])` is the command's Python form (api.py). This module is imported on every start of the
command, so it imports nothing until it is asked for something.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.api import Result as Result
    from pysentry.api import run as run

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "run"]


def __getattr__(name: str) -> object:
    if name in ("Result", "run"):
        from pysentry import api

        return getattr(api, name)
    raise AttributeError(f"module 'pysentry' has no attribute '{name}'")
