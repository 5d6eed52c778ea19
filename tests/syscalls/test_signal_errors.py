"""Each test of tests/guests/signal_errors.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import guest_tests

pytestmark = pytest.mark.configs(*GUESTS)
test_signal_errors = guest_tests("signal_errors")
