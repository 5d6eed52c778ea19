"""The texts that engines match on: a changed letter here is a container that cannot be deleted."""

from __future__ import annotations

import pytest

from pysentry.oci import errors


@pytest.mark.parametrize(
    ("error", "text", "status"),
    [
        (errors.NoSuchContainerError(), "container does not exist", 1),
        (errors.NotRunningError(), "container not running", 1),
        (errors.NotPausedError(), "container not paused", 1),
        (errors.ContainerExistsError(), "container with given ID already exists", 1),
        (errors.StartError("running"), "cannot start an already running container", 1),
        (errors.StartError("stopped"), "cannot start a container that has stopped", 1),
        (errors.StartError("paused"), "cannot start a container in the paused state", 1),
        (errors.NotStoppedError("c1", "running"), "cannot delete container c1 that is not stopped: running", 1),
        (errors.ExecStateError("stopped"), "cannot exec in a stopped container", 1),
        (
            errors.ExecStateError("paused"),
            "cannot exec in a paused container (use --ignore-paused to override)",
            1,
        ),
        (errors.ProgramNotFoundError("/x"), 'exec: "/x": stat /x: no such file or directory', 127),
        (errors.ProgramNotFoundError("x"), 'exec: "x": executable file not found in $PATH', 127),
        (errors.ProgramNotExecutableError("/x"), 'exec: "/x": permission denied', 126),
        (errors.InvalidIdError(""), "container id cannot be empty", 1),
        (errors.InvalidIdError("../x"), "invalid container ID format", 1),
        (
            errors.HookError("createRuntime", 0, "exit status 1"),
            "error running createRuntime hook #0: exit status 1",
            1,
        ),
        (errors.SpecError("process.cwd", "missing"), "process.cwd: missing", 1),
        (errors.SpecError("", "missing"), "missing", 1),
    ],
)
def test_texts(error: errors.OciError, text: str, status: int) -> None:
    assert (str(error), error.status) == (text, status)
