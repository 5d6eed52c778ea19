"""Any verb against any other at any moment: what they answer, and what is left, some order of them explains."""

from __future__ import annotations

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
from tests.harness.verb_model import CREATED, NONE, RUNNING, STOPPED, explained
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
EXECUTED = 7


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

    def has_answered(self) -> bool:
        return run_verb("--root", str(self.root), "ps", "--format=json", IDENTITY)[0] == 0

    def settle(self) -> str:
        """The state, when sentries that were killed are dead."""
        while any(letter not in "Z" for letter in leftovers.children().values()):
            state = self.observed()
            # One that was killed answers nothing any more. What answers is a new one: `kill`, `delete`, `create`.
            if state in (CREATED, RUNNING) and (not self.is_dying or self.has_answered()):
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
