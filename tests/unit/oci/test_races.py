"""Any verb against any other at any moment: what they answer, and what is left, some order of them explains."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.harness import leftovers
from tests.unit.oci.fake_sentry import run_verb, start_verb

IDENTITY = "one"
VERBS = {
    "create": ["create", "--bundle", "{bundle}", IDENTITY],
    "start": ["start", IDENTITY],
    "kill": ["kill", IDENTITY, "TERM"],
    "kill -9": ["kill", IDENTITY, "KILL"],
    "delete": ["delete", IDENTITY],
    "delete -f": ["delete", "--force", IDENTITY],
    "exec": ["exec", IDENTITY, "prog"],
    "pause": ["pause", IDENTITY],
    "state": ["state", IDENTITY],
    "list": ["list"],
}
NONE, CREATED, RUNNING, DYING, STOPPED = "none", "created", "running", "dying", "stopped"
"""DYING: a signal that ends it is on its way: it may still be what it was, or be stopped already. While it is paused a
state has PAUSE behind it."""
PAUSE = " paused"
EXECUTED = 7
Result = tuple[bool, str]


def results(verb: str, state: str) -> set[Result]:
    """(it succeeds, the state then): what a verb may do alone."""
    stays = {(True, state)}
    fails = {(False, state)}
    if state.endswith(PAUSE) and verb in ("start", "exec", "delete", "pause"):
        return fails
    match verb, state.removesuffix(PAUSE):
        case "create", "none":
            return {(True, CREATED)}
        case "start", "created":
            return {(True, RUNNING)}
        case (("kill" | "kill -9"), ("created" | "running" | "dying")):
            return {(True, DYING)} | (fails if state == DYING else set())
        case "delete", ("created" | "stopped"):
            return {(True, NONE)}
        case "delete -f", _:
            return {(True, NONE)}
        case (("start" | "exec" | "pause"), "dying"):
            return stays | fails
        case "pause", ("created" | "running"):
            return {(True, state + PAUSE)}
        case "delete", "dying":
            return {(True, NONE)} | fails
        case "exec", ("created" | "running"):
            return stays
        case "state", _:
            return fails if state == NONE else stays
        case "list", _:
            return stays
        case _:
            return fails


def explained(state: str, outcomes: list[tuple[str, bool]]) -> set[str]:
    """The states that these verbs, all at once, may lead to. While `create` is at work, whatever comes in its way may
    fail, and `create` itself does if it is killed."""
    has_create = any(verb == "create" for verb, _ in outcomes)
    found = set()
    for order in itertools.permutations(outcomes):
        states = {state}
        for verb, is_done in order:
            after = {then for one in states for did, then in results(verb, one) if did == is_done}
            if has_create and not is_done and verb != "delete -f":
                after |= states
            states = after
        found |= states
    return {STOPPED if one == DYING else one.removesuffix(PAUSE) for one in found}


class Verbs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="verbs-"))
        (self.directory / "rootfs").mkdir()
        process = {"args": ["prog"], "cwd": "/", "env": []}
        document = {"ociVersion": "1.2.0", "process": process, "root": {"path": "rootfs"}}
        (self.directory / "config.json").write_text(json.dumps(document))
        self.root = self.directory / "root"
        self.state = NONE

    def words(self, verb: str) -> list[str]:
        return ["--root", str(self.root), *(word.format(bundle=self.directory) for word in VERBS[verb])]

    def succeeded(self, verb: str, status: int) -> bool:
        code = os.waitstatus_to_exitcode(status)
        if verb == "exec":
            assert code in (EXECUTED, 255, 137), code  # the last: the container ended meanwhile
            return code == EXECUTED
        assert code in (0, 1) or (verb == "create" and code == -signal.SIGKILL), (verb, code)
        return code == 0

    def observed(self) -> str:
        status, text = run_verb(*self.words("state"))
        return str(json.loads(text)["status"]) if status == 0 else NONE

    def settle(self) -> str:
        """The state, when sentries that were killed are dead."""
        while any(letter not in "Z" for letter in leftovers.children().values()):
            state = self.observed()
            if state in (CREATED, RUNNING) and not self.is_dying:
                return state
            select.select([], [], [], 0.002)
            if state == "paused":
                run_verb("--root", str(self.root), "resume", IDENTITY)
        return self.observed()

    @rule(names=st.lists(st.sampled_from(sorted(VERBS)), min_size=1, max_size=4))
    def at_once(self, names: list[str]) -> None:
        pids = [start_verb(self.words(name), rests=len(names) > 1) for name in names]
        for pid in pids if len(names) > 1 else ():
            os.waitid(os.P_PID, pid, os.WSTOPPED)
        for pid in pids if len(names) > 1 else ():
            os.kill(pid, signal.SIGCONT)
        outcomes = [(name, self.succeeded(name, os.waitpid(pid, 0)[1])) for name, pid in zip(names, pids, strict=True)]
        self.is_dying = any(name.startswith("kill") and is_done for name, is_done in outcomes)
        if any(name == "pause" for name in names):
            run_verb("--root", str(self.root), "resume", IDENTITY)
        before, self.state = self.state, self.settle()
        assert self.state in explained(before, outcomes), (before, outcomes, self.state)

    @rule(
        stage=st.sampled_from(["namespaces", "ready"]), verb=st.sampled_from(["delete -f", "delete", "start", "create"])
    )
    def create_is_killed(self, stage: str, verb: str) -> None:
        """SIGKILL of `create` at a stage of the sentry's boot, then a verb, then `delete --force`."""
        if self.state != NONE:
            return
        here, there = os.pipe(), os.pipe()

        def before(reached: str) -> None:
            if reached == stage:
                os.write(here[1], b"!")
                os.read(there[0], 1)

        create = start_verb(self.words("create"), before=before)
        os.read(here[0], 1)
        assert run_verb("--root", str(self.root), "state", IDENTITY)[1].count('"creating"') == 1
        os.kill(create, signal.SIGKILL)
        os.waitpid(create, 0)
        for fd in (*here, *there):
            os.close(fd)
        status, _ = run_verb(*self.words(verb))
        assert status == (0 if verb.startswith("delete") else 1)
        assert run_verb(*self.words("delete -f"))[0] == 0
        assert self.observed() == NONE

    @invariant()
    def nothing_is_left(self) -> None:
        """Of a container that is gone there is no file, of one that is stopped no process."""
        if self.state in (NONE, STOPPED):
            leftovers.end_orphans((), grace_s=0)
            assert not leftovers.children()
        if self.state == NONE and self.root.exists():
            assert os.listdir(self.root) == []

    def teardown(self) -> None:
        run_verb(*self.words("delete -f"))
        leftovers.end_orphans((), grace_s=0)
        shutil.rmtree(self.directory)


def test_verbs_against_each_other() -> None:
    leftovers.become_subreaper()
    examples = settings(
        max_examples=int(os.environ.get("PYSENTRY_RACES", "10")),
        stateful_step_count=10,
        deadline=None,
        phases=[Phase.generate],  # a race is not shrunk
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Verbs, settings=examples)
