"""Each test of tests/guests/openat2.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import guest_tests

pytestmark = pytest.mark.configs(*GUESTS)
test_openat2 = guest_tests("openat2")
