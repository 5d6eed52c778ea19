"""Names for the plain integers that decoded system call arguments are."""

from __future__ import annotations

UserAddr = int  # an address in the workload; unsigned 64 bit; 0 is NULL
