"""SIGKILL of `create`, at whatever moment: `delete --force` removes what is left, and then nothing is."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.harness import leftovers
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.raw_runtime import WAITS, RawRuntime, cgroups_of

MOMENTS = 16


@pytest.fixture
def ours(raw: RawRuntime) -> RawRuntime:
    if not raw.is_ours:
        pytest.skip("others promise nothing")
    return raw


def test_at_any_moment(ours: RawRuntime) -> None:
    """The moments are spread over the time that one takes."""
    started = time.monotonic()
    ours.create(*WAITS).end()
    whole_s = time.monotonic() - started
    for moment in range(MOMENTS):
        identity = ours.identity()
        bundle = ours.bundle(*WAITS)
        create = ours.start_call("create", "--bundle", str(bundle), identity)
        time.sleep(whole_s * moment / MOMENTS)
        create.kill()
        create.wait(PATIENCE_S)
        ours.call("delete", "--force", identity)
        assert os.listdir(ours.root) == []
        assert cgroups_of(bundle) == []
        wait_until(lambda: not leftovers.end_orphans((), grace_s=60), "the end of every process")


def test_what_a_killed_create_left_cannot_be_used(ours: RawRuntime) -> None:
    identity = ours.identity()
    hook = ours.directory / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ours.directory}/here\nexec sleep 1008\n")
    hook.chmod(0o755)
    bundle = ours.bundle(
        *WAITS, change=lambda document: document.update(hooks={"createRuntime": [{"path": str(hook)}]})
    )
    create = ours.start_call("create", "--bundle", str(bundle), identity)
    wait_until((ours.directory / "here").exists, "the hook")
    create.kill()
    assert create.wait(PATIENCE_S) == -signal.SIGKILL
    assert ours.state(identity)["status"] == "stopped"
    assert "has stopped" in ours.call("start", identity, status=1).stderr
    assert "not running" in ours.call("kill", identity, status=1).stderr
    assert "already exists" in ours.call("create", "--bundle", str(bundle), identity, status=1).stderr
    ours.call("delete", identity)
    assert cgroups_of(bundle) == []
    leftovers.end_orphans((), grace_s=0)  # the hook: its `create` could not end it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_create_that_is_told_to_end_undoes_all(ours: RawRuntime, number: int) -> None:
    identity = ours.identity()
    hook = ours.directory / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ours.directory}/here\nexec sleep 1009\n")
    hook.chmod(0o755)
    bundle = ours.bundle(
        *WAITS, change=lambda document: document.update(hooks={"createRuntime": [{"path": str(hook)}]})
    )
    create = ours.start_call("create", "--bundle", str(bundle), identity)
    wait_until((ours.directory / "here").exists, "the hook")
    create.send_signal(number)
    assert create.wait(PATIENCE_S) == -number
    assert os.listdir(ours.root) == []
    assert cgroups_of(bundle) == []
