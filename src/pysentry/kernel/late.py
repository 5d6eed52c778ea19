"""Functions whose module is imported when they are first called, from memory if need be (cli/packed.py)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def late(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of `module`, which nothing needs to have imported yet."""

    def call(*arguments: Any) -> Any:
        __import__(module)
        return getattr(sys.modules[module], name)(*arguments)

    return call
