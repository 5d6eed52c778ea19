"""The Python objects of tasks: none outlives its struct task."""

from __future__ import annotations

import os

import pytest

from pysentry.kernel import task as tasks
from pysentry.platform import hooks
from pysentry.platform.native import lib
from tests.unit.vfs.kernel_in_process import Kernel


def test_an_ended_task_stays_forgotten_as_its_descriptors_are_closed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of files with locks are told of, which asks for the task's object."""
    told: list[object] = []
    monkeypatch.setattr(hooks, "on_fd_closed", [lambda task, desc: told.append(desc)])
    fd = kernel.call("open", "/locked", os.O_CREAT | os.O_RDWR, 0o600)
    c, group = kernel.task.c, kernel.task.group
    c.files.slots[fd].desc.inode.flags |= lib.INODE_LOCKS
    c.state = lib.TASK_DEAD
    tasks.forget_task(kernel.task)
    assert lib.fd_close(c, fd) == 0
    assert len(told) == 1
    assert c.python_id == 0
    assert c not in [task.c for task in tasks._tasks.values()]
    assert not group.tasks
