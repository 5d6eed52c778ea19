"""`kill`: a signal to a container."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

from pysentry.oci.ending import kill as kill_container
from pysentry.oci.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call

SIGTERM, MOST = 15, 64


def kill(call: Call) -> int:
    number = signal_number(call.words[1]) if len(call.words) > 1 and call.words[1] else SIGTERM
    kill_container(call.store, call.words[0], number, call.flag("all"))
    return 0


def signal_number(word: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+1`; any case. 0 looks whether it runs. UsageError."""
    if word.isascii() and word.isdigit():
        number: int = int(word)
    else:
        name, plus, offset = word.upper().removeprefix("SIG").partition("+")
        number = getattr(_signal, f"SIG{name}", -1) if name.isalnum() else -1
        if plus:
            number = number + int(offset) if name == "RTMIN" and offset.isascii() and offset.isdigit() else -1
    if not 0 <= number <= MOST:
        raise UsageError(f'unknown signal "{word}"')
    return number
