"""Who we are on the host."""

from __future__ import annotations


def is_in_user_namespace() -> bool:
    """True unless all user ids are the machine's own."""
    with open("/proc/self/uid_map", encoding="utf-8") as lines:
        return lines.read().split() != ["0", "0", "4294967295"]
