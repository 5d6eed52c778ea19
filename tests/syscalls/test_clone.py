"""Each test of tests/guests/clone.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import guest_tests

pytestmark = pytest.mark.configs(*GUESTS)
test_clone = guest_tests("clone")
