"""Each test of tests/guests/ptrace.c and ptrace_stops.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import TRACED_GUESTS
from tests.harness.guest_programs import build, guest_tests
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs(*TRACED_GUESTS)
test_ptrace = guest_tests("ptrace")
test_ptrace_stops = guest_tests("ptrace_stops")


@pytest.mark.configs("ptrace", "user-ptrace")
def test_the_ptrace_engine_says_that_it_has_none(runner: Runner) -> None:
    result = runner.run([build("ptrace"), "--helper", "asks_to_be_traced"])
    assert result.stdout == "EPERM\n"
