"""How a verb may fail: the text that engines match on (runc's words) and the exit status that goes with it.

Owns every exception that leaves `pysentry.oci`. What a sandbox raises while it starts is pysentry.sandbox.errors'.
"""

from __future__ import annotations


class OciError(Exception):
    """A verb failed. str() is one line, for stderr and for the log; `status` is our exit status, 1 as runc's."""

    status = 1


# ---- what was given to us ------------------------------------------------------------------------------------------


class UsageError(OciError):
    """A verb was called with arguments that cannot be used."""


class InvalidIdError(OciError):
    """The id names no possible container."""

    def __init__(self, identity: str = "") -> None:
        super().__init__("invalid container ID format" if identity else "container id cannot be empty")


class BundleError(OciError):
    """The bundle's directory, its config.json or its root file system cannot be used."""


class SpecError(OciError):
    """A field of config.json (or of a process or resources document) has a value that cannot be used.

    path: where, as "process.args[0]"; "" for the document itself. problem: what is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class SettingsError(OciError):
    """A configuration file has a key or a value that cannot be used."""


class UnsupportedError(OciError):
    """Asked for something that exists in runc and not here."""


# ---- containers and their states -----------------------------------------------------------------------------------


class NoSuchContainerError(OciError):
    def __init__(self) -> None:
        super().__init__("container does not exist")


class ContainerExistsError(OciError):
    def __init__(self) -> None:
        super().__init__("container with given ID already exists")


class StateError(OciError):
    """The container is not in a state that allows the verb."""


class NotRunningError(StateError):
    def __init__(self) -> None:
        super().__init__("container not running")


class NotPausedError(StateError):
    def __init__(self) -> None:
        super().__init__("container not paused")


class StartError(StateError):
    """`start` of a container that is not in state created."""

    def __init__(self, state: str) -> None:
        words = {
            "running": "cannot start an already running container",
            "stopped": "cannot start a container that has stopped",
        }
        super().__init__(words.get(state, f"cannot start a container in the {state} state"))


class NotStoppedError(StateError):
    """`delete` of a container that still lives."""

    def __init__(self, identity: str, state: str) -> None:
        super().__init__(f"cannot delete container {identity} that is not stopped: {state}")


class ExecStateError(StateError):
    """`exec` in a container that runs nothing."""

    def __init__(self, state: str) -> None:
        hint = " (use --ignore-paused to override)" if state == "paused" else ""
        super().__init__(f"cannot exec in a {state} container{hint}")


# ---- making them ---------------------------------------------------------------------------------------------------


class ContainerFailedError(OciError):
    """The sandbox, or the process in it, could not be started. status: of sandbox/errors.py (125, 126, 127) where the
    sentry sent one; a verb that promises runc's own status sets it itself."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class ProgramNotFoundError(ContainerFailedError):
    """podman answers 127 to either text."""

    def __init__(self, program: str) -> None:
        why = f"stat {program}: no such file or directory" if "/" in program else "executable file not found in $PATH"
        super().__init__(f'exec: "{program}": {why}', 127)


class ProgramNotExecutableError(ContainerFailedError):
    """podman answers 126."""

    def __init__(self, program: str) -> None:
        super().__init__(f'exec: "{program}": permission denied', 126)


class HookError(OciError):
    """A hook did not end with status 0. kind: as config.json calls it; problem: `exit status 1` or the like."""

    def __init__(self, kind: str, index: int, problem: str) -> None:
        super().__init__(f"error running {kind} hook #{index}: {problem}")


class CgroupError(OciError):
    """A cgroup could not be made, joined, limited, frozen or removed."""


class ConsoleError(OciError):
    """The console socket, or a terminal without one."""


class BusError(Exception):
    """systemd refuses, or cannot be talked to. name: the last word of D-Bus's, such as "UnitExists"; "" if no answer
    came."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name
