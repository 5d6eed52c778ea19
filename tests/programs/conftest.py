"""Fixtures of the real programs."""

from __future__ import annotations

import pytest

from tests.harness.programs import Comparison
from tests.harness.runner import Runner


@pytest.fixture
def both(runner: Runner, native: Runner) -> Comparison:
    """The configuration's runner and the native one, to compare."""
    return Comparison(runner, native)
