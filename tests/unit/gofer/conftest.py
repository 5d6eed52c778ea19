"""Fixtures of the gofer's tests: trees to serve, and a gofer in a process of its own that serves them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.gofer.harness import MORTAL, NOBODY, open_directory


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that every user may write to."""
    with open_directory() as path:
        yield path


@pytest.fixture(params=[None, NOBODY, MORTAL], ids=["as-started", "nobody", "user"])
def uid(request: pytest.FixtureRequest) -> int | None:
    """Whom the gofer is started as; None: whoever runs the tests, root in a full run."""
    if request.param is not None and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    value: int | None = request.param
    return value
