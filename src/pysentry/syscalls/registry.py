"""The table of handlers by system call number, and the decorator that fills it."""

from __future__ import annotations

from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    Handler = TypeVar("Handler", bound=Callable[..., Any])
else:

    def overload(function: object) -> None:
        """Only the type checker reads overloads."""

CONTINUE: int = lib.SENTRY_CONTINUE
"""A handler's answer: the host kernel runs the call as it stands. Only where all that matters is in registers."""

ERESTARTSYS, ERESTARTNOHAND = 512, 514

HANDLERS: dict[int, Callable[..., Any]] = {}
LATE: dict[int, str] = {}
"""Calls whose module may still have to be imported, when one of them is first made (sandbox/wiring.py)."""
RESTARTS: dict[int, int] = {}
_numbers: dict[str, int] = {}


def import_late(number: int) -> Callable[..., Any] | None:
    """The handler of a call that has none yet; None: nobody handles it."""
    module = LATE.get(number)
    if module is None:
        return None
    __import__(f"pysentry.syscalls.{module}")
    return HANDLERS.get(number)


def _number(name: str) -> int:
    if not _numbers:
        from pysentry.abi.syscall_nr import NAMES  # with the first handler: many a run needs none

        _numbers.update((each, number) for number, each in NAMES.items())
    return _numbers[name]


@overload
def syscall(function: Handler, /) -> Handler: ...
@overload
def syscall(*, restart: str = "sys") -> Callable[[Handler], Handler]: ...  # noqa: F811
def syscall(function: Any = None, /, *, restart: str = "sys") -> Any:  # noqa: F811
    """Registers a handler under its function's name, which must be a row of the tables.

    restart: "sys" (ERESTARTSYS) or "nohand" (ERESTARTNOHAND), for calls that a signal may interrupt.
    """

    def register(handler: Handler) -> Handler:
        name = handler.__name__.rstrip("_")  # select_ and the like: names that Python or another module has
        number = _number(name)
        if number in HANDLERS:
            raise ValueError(f"{name}: two handlers")
        HANDLERS[number] = handler
        if restart == "nohand":
            RESTARTS[number] = ERESTARTNOHAND
        return handler

    return register if function is None else register(function)
