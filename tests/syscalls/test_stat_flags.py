"""Each test of tests/guests/stat_flags.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import guest_tests

pytestmark = pytest.mark.configs(*GUESTS)
test_stat_flags = guest_tests("stat_flags")
