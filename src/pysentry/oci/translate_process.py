"""What a process of config.json, or one that `exec` adds, becomes in the sandbox: Process -> ProcessSpec.

Apart from translate.py, because `exec` needs no more than this.
"""

from __future__ import annotations

from pysentry.oci.errors import SpecError
from pysentry.oci.spec_names import CAPABILITIES, RLIMITS
from pysentry.sandbox.process import Capabilities, ProcessSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pysentry.oci.spec_process import Process

NO_ID = 0xFFFF_FFFF  # (uid_t)-1


def process_spec(process: Process, first: Process | None = None) -> tuple[ProcessSpec, list[str]]:
    """A program in the container, its first one or one that `exec` adds, and warnings. What an exec'd program does not
    say about capabilities, limits, umask and OOM score is as the `first` one has it. Its filter is not set here.

    Raises:
        SpecError.
    """
    warnings: list[str] = []
    first = first or process
    at = f"{process.path}." if process.path else ""
    made = ProcessSpec(list(process.args), _environment(process, at), process.cwd)
    user = process.user
    if user.uid == NO_ID or user.gid == NO_ID or NO_ID in user.additional_gids:
        raise SpecError(f"{at}user", f"ids go from 0 to {NO_ID - 1}")
    made.uid, made.gid, made.groups = user.uid, user.gid, user.additional_gids
    umask = user.umask if user.umask is not None else first.user.umask
    made.umask = None if umask is None else umask & 0o777
    with_sets = process if process.capabilities is not None else first
    if with_sets.capabilities is not None:
        made.caps = _capabilities(with_sets.capabilities, warnings)
    made.rlimits = _rlimits(process if process.rlimits else first)
    made.no_new_privs = process.no_new_privileges
    made.oom_score_adj = process.oom_score_adj if process.oom_score_adj is not None else first.oom_score_adj
    made.terminal = process.terminal
    if process.console_size is not None and process.terminal:
        height, width = process.console_size
        made.console_size = (height & 0xFFFF, width & 0xFFFF)
    for name, is_given in (
        ("apparmorProfile", bool(process.apparmor_profile)),
        ("selinuxLabel", bool(process.selinux_label)),
        ("scheduler", process.scheduler is not None),
        ("ioPriority", process.io_priority is not None),
        ("execCPUAffinity", process.cpu_affinity is not None),
    ):
        if is_given:
            warnings.append(f"{at}{name} is ignored")
    return made, warnings


def _environment(process: Process, at: str) -> dict[str, str]:
    """The last of several values holds."""
    env: dict[str, str] = {}
    for index, entry in enumerate(process.env):
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise SpecError(f"{at}env[{index}]", f"invalid environment variable: {entry!a}")
        env[name] = value
    return env


def _capabilities(sets: dict[str, tuple[str, ...]], warnings: list[str]) -> Capabilities:
    unknown = sorted({name for names in sets.values() for name in names if name not in CAPABILITIES})
    if unknown:
        warnings.append(f"ignoring unknown or unavailable capabilities: [{' '.join(map(ascii, unknown))}]")
    for name in sets.get("ambient", ()):  # as runc: the rest of the set is raised
        if name in CAPABILITIES and not all(name in sets.get(kind, ()) for kind in ("permitted", "inheritable")):
            warnings.append(f"can't raise ambient capability {name}: not permitted and inheritable")
    return Capabilities(**{kind: _mask(names) for kind, names in sets.items()})


def _mask(names: Iterable[str]) -> int:
    mask = 0
    for name in names:
        mask |= 1 << CAPABILITIES[name] if name in CAPABILITIES else 0
    return mask


def _rlimits(process: Process) -> dict[int, tuple[int, int]]:
    limits: dict[int, tuple[int, int]] = {}
    for rlimit in process.rlimits:
        if rlimit.type not in RLIMITS:
            raise SpecError(f"{rlimit.path}.type", f"wrong rlimit value: {rlimit.type}")
        number = RLIMITS[rlimit.type]
        if number in limits:
            raise SpecError(f"{rlimit.path}.type", f"{rlimit.type} is given twice")
        if rlimit.soft > rlimit.hard:
            raise SpecError(f"{rlimit.path}.soft", f"{rlimit.soft} is above the hard limit, {rlimit.hard}")
        limits[number] = (rlimit.soft, rlimit.hard)
    return limits
