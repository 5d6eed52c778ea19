"""Functions whose module is imported when they are first called, from memory if need be (cli/packed.py)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def late(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of `module`, which nothing needs to have imported yet."""

    def call(*arguments: Any) -> Any:
        from importlib import import_module

        return getattr(import_module(module), name)(*arguments)

    return call
