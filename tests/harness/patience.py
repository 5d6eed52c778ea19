"""How long tests wait for what must happen. Only a hang takes that long, whatever else the machine does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 240.0


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What the condition answers as soon as that is true. AssertionError when the patience is over."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen in {patience_s} s: {what}"
        time.sleep(0.01)
