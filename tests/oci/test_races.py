"""Verbs against each other on real containers, by their command lines: what they answer and what is left, some order of
them explains; nothing of a container outlives it.

tests/unit/oci/test_races.py does the same with a sentry that only speaks the protocols, and gets further in the same
time. Here are the freezer, cgroups, namespaces, a seed that is forked while everything is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.harness import leftovers
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.raw_runtime import WAITS, RawRuntime, cgroups_of
from tests.harness.verb_model import CREATED, NONE, RUNNING, STOPPED, explained

EXAMPLES = int(os.environ.get("PYSENTRY_RACES", "8"))
BUDGET_S = 90.0
"""After this no new round begins: a loaded machine has fewer of them."""
IDENTITY = "one"
EXECUTED = 7
VERBS = {
    "create": ["create", "--bundle", "BUNDLE", IDENTITY],
    "start": ["start", IDENTITY],
    "kill -9": ["kill", IDENTITY, "KILL"],
    "delete": ["delete", IDENTITY],
    "delete -f": ["delete", "--force", IDENTITY],
    "exec": ["exec", IDENTITY, "sh", "-c", f"exit {EXECUTED}"],
    "pause": ["pause", IDENTITY],
    "state": ["state", IDENTITY],
    "list": ["list"],
}


def machine(raw: RawRuntime, deadline: float) -> Callable[[], RuleBasedStateMachine]:
    """Rounds on one runtime until a moment of the monotonic clock."""
    bundle = raw.bundle(*WAITS)
    raw.identities.add(IDENTITY)

    class Verbs(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.state = NONE

        def begin(self, verb: str) -> subprocess.Popen[str]:
            words = [word.replace("BUNDLE", str(bundle)) for word in VERBS[verb]]
            with (raw.directory / "told").open("a") as told:
                return raw.start_call(*words, stdout=subprocess.DEVNULL, stderr=told)

        def ended(self, verb: str, process: subprocess.Popen[str]) -> tuple[str, bool]:
            status = process.wait(PATIENCE_S)
            if verb == "exec":
                assert status in (EXECUTED, 255, 128 + signal.SIGKILL)  # the last: the container ended meanwhile
                return verb, status == EXECUTED
            assert status in (0, 1) or (verb == "create" and status == -signal.SIGKILL), (verb, status)
            return verb, status == 0

        def observed(self) -> str:
            done = raw.call("state", IDENTITY, status=None)
            return str(json.loads(done.stdout)["status"]) if done.returncode == 0 else NONE

        @rule(names=st.lists(st.sampled_from(sorted(VERBS)), min_size=1, max_size=4))
        def at_once(self, names: list[str]) -> None:
            if time.monotonic() > deadline:
                return
            running = [(name, self.begin(name)) for name in names]
            # What is executed in a container that is frozen meanwhile goes on when it does.
            outcomes = [self.ended(name, process) for name, process in running if name != "exec"]
            if "pause" in names:
                raw.call("resume", IDENTITY, status=None)
            outcomes += [self.ended(name, process) for name, process in running if name == "exec"]
            possible = explained(self.state, outcomes)
            assert possible, (self.state, outcomes)
            seen: list[str] = []

            def has_settled() -> bool:
                seen.append(self.observed())
                return seen[-1] in possible

            wait_until(has_settled, f"one of {possible} after {outcomes} in state {self.state}; last: {seen[-1:]}")
            self.state = seen[-1]
            if self.state in (CREATED, RUNNING) and STOPPED in possible:  # a signal may be on its way
                raw.call("delete", "--force", IDENTITY)
                self.state = NONE
            if self.state in (NONE, STOPPED):
                assert leftovers.end_orphans(()) == [], outcomes
            if self.state == NONE:
                assert os.listdir(raw.root) == []
                assert cgroups_of(bundle) == []

        def teardown(self) -> None:
            raw.call("delete", "--force", IDENTITY)
            assert leftovers.end_orphans(()) == []

    return Verbs


def test_verbs_against_each_other(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("others promise less")
    raw.root.mkdir()
    rounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=8,
        deadline=None,
        phases=[Phase.generate],  # a race is not shrunk
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine(raw, time.monotonic() + BUDGET_S), settings=rounds)
    for line in (raw.directory / "told").read_text().splitlines():
        assert "internal error" not in line
        assert "Traceback" not in line
