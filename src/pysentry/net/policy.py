"""Who is asked before the workload reaches an address.

In a network namespace of the sandbox's own there is only what was put there: everything is allowed. With the host's
network boot may put rules here (net/egress.py).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

check: Callable[[int, bytes, bool], None] | None = None
"""check(the socket's family, sockaddr, is_sending) raises EACCES."""

is_shared = False
"""The network is the host's or a pod's, and all of it may be reached: so what listens there can be found, and
/proc/net lists it."""


def check_egress(family: int, sockaddr: bytes, is_sending: bool) -> None:
    """Before connect(2), and before a message is sent to an address. EACCES: it must not be reached."""
    if check is not None:
        check(family, sockaddr, is_sending)
