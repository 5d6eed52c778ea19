"""When the sentry looks at a process because a timer of the host is due."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pysentry.kernel import expiry, timers

MS = 1_000_000


class Clock:
    """Time stands still until told; looks are counted."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.looked: list[int] = []

    def advance(self, until_ns: int) -> None:
        """Runs every timer that is due on the way."""
        while timers._heap and timers._heap[0][0] <= until_ns:
            self.now_ns = max(self.now_ns, timers._heap[0][0])
            timers.run_due()
        self.now_ns = until_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    fake = SimpleNamespace(
        sentry_now_ns=lambda: made.now_ns,
        sentry_set_timer=lambda deadline_ns: None,
        signals_changed=lambda group: made.looked.append(made.now_ns),
    )
    monkeypatch.setattr(timers, "lib", fake)
    monkeypatch.setattr(expiry, "lib", fake)
    monkeypatch.setattr(timers, "_heap", [])
    monkeypatch.setattr(expiry, "_is_alive", lambda group: group.alive)
    return made


@pytest.fixture
def task() -> SimpleNamespace:
    return SimpleNamespace(group=SimpleNamespace(state={}, c=None, alive=True))


def test_once(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 10 * MS)
    clock.advance(9 * MS)
    assert not clock.looked
    clock.advance(5000 * MS)
    assert 10 * MS < clock.looked[0] <= 11 * MS
    assert len(clock.looked) == len(expiry._LOOKS_NS)
    assert not task.group.state["expiries"]


def test_interval(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 10 * MS, 10 * MS)
    clock.advance(100 * MS + MS // 2)
    periods = {at // (10 * MS) for at in clock.looked}
    assert periods == set(range(1, 11))
    expiry.forget(task, "itimer")
    clock.looked.clear()
    clock.advance(500 * MS)
    assert not clock.looked


def test_tiny_intervals_are_bounded(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 1, 1)
    clock.advance(100 * MS)
    assert 50 <= len(clock.looked) <= 210


def test_a_new_time_replaces_the_old(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 10 * MS)
    expiry.expect(task, "itimer", 50 * MS)
    clock.advance(49 * MS)
    assert not clock.looked


def test_exec_keeps_the_interval_timer_only(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 10 * MS)
    expiry.expect(task, (0, 1), 10 * MS)
    expiry.after_exec(task)
    assert list(task.group.state["expiries"]) == ["itimer"]


def test_ends_with_the_process(clock: Clock, task: SimpleNamespace) -> None:
    expiry.expect(task, "itimer", 10 * MS, 10 * MS)
    task.group.alive = False
    clock.advance(100 * MS)
    assert not clock.looked
    assert not timers._heap
