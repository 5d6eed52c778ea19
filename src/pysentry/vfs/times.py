"""Times of files: nanoseconds since the epoch, in the 64 bits that an inode has for them.

Linux has as many for the seconds alone. ns_of() of native/vfs/vfs.h is the same in C.
"""

from __future__ import annotations

EARLIEST_NS, LATEST_NS = -(1 << 63), (1 << 63) - 1


def in_range(time_ns: int) -> int:
    """The time, or the end of the range that it is beyond: the years 1677 and 2262."""
    return max(EARLIEST_NS, min(LATEST_NS, time_ns))
