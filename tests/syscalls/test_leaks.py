"""What a call made before it failed is given back: few descriptors last through thousands of failures."""

from __future__ import annotations

import resource

import pytest

from tests.harness.configuration import GUESTS
from tests.harness.guest_programs import run_all
from tests.harness.runner import Runner

DESCRIPTORS = 1024


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@pytest.mark.configs(*GUESTS, "ptrace-slow")
def test_nothing_is_left_of_failures(runner: Runner) -> None:
    run_all(runner, "leaks", "dynamic", preexec_fn=few_descriptors)
