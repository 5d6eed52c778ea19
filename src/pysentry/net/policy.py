"""Egress policy: which addresses the workload may reach.

In the sandbox's own network namespace there is only loopback, and everything is allowed. With the host's network
(`--network=host`, later) boot installs a policy here; the sentry's own filter cannot look into an address.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

check: Callable[[int, bytes], None] | None = None
"""check(family, sockaddr) raises EACCES or ENETUNREACH; called before connect(2) and sends that name an address."""


def check_egress(family: int, address: bytes) -> None:
    """Raises what the policy says about an address; returns where there is none."""
    if check is not None:
        check(family, address)
