"""Each test of tests/guests/connect.c, natively and under pysentry."""

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import guest_tests

pytestmark = pytest.mark.configs(*GUESTS)
test_connect = guest_tests("connect")
