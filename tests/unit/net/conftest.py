"""A kernel with files in memory, for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.kernel.calls import connect_hooks
from tests.unit.vfs.kernel_in_process import Kernel, tmpfs_kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    connect_hooks()
    made = tmpfs_kernel()
    yield made
    made.end()
