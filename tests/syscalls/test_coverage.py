"""Every row that the sandbox answers, and every flag and choice that it names, is tried by some guest."""

from __future__ import annotations

import pytest

from bench.compat.coverage import untried
from tests.harness.configuration import is_root
from tests.harness.programs import need


@pytest.mark.skipif(not is_root(), reason="native runs need a user namespace with all ids")
def test_no_call_flag_or_choice_is_left_out() -> None:
    need("strace", "strace")
    assert untried(with_errnos=False) == []
