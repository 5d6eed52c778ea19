"""`process` of config.json, which is also the document that `exec --process` reads.

Owns types and ranges, and what runc demands of a process, in its words. What a value means for the sandbox is said in
translate_process.py.
"""

from __future__ import annotations

import os

from pysentry.oci.document import INT32, UINT32, UINT64, Fields, read_document
from pysentry.oci.errors import SpecError
from pysentry.oci.spec_names import IO_PRIORITY_CLASSES, SCHEDULER_FLAGS, SCHEDULER_POLICIES

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


class User:
    """umask: None if not given. username is of Windows."""

    __slots__ = ("additional_gids", "gid", "uid", "umask")

    def __init__(self, fields: Fields) -> None:
        self.uid = fields.number("uid", UINT32)
        self.gid = fields.number("gid", UINT32)
        self.additional_gids = fields.numbers("additionalGids", UINT32)
        self.umask = fields.optional_number("umask", UINT32)
        fields.text("username")


class Rlimit:
    __slots__ = ("hard", "path", "soft", "type")

    def __init__(self, fields: Fields) -> None:
        fields.require("type", "soft", "hard")
        self.path = fields.path
        self.type = fields.text("type")
        self.soft = fields.number("soft", UINT64)
        self.hard = fields.number("hard", UINT64)
        letters = self.type.removeprefix("RLIMIT_")
        if letters == self.type or not (letters.isascii() and letters.isalpha() and letters.isupper()):
            raise fields.fail("type", f"wrong rlimit value: {self.type}")


class Scheduler:
    __slots__ = ("deadline", "flags", "nice", "period", "policy", "priority", "runtime")

    def __init__(self, fields: Fields) -> None:
        fields.require("policy")
        self.policy = fields.choice("policy", SCHEDULER_POLICIES)
        self.nice = fields.number("nice", INT32)
        self.priority = fields.number("priority", INT32)
        self.flags = fields.choices("flags", SCHEDULER_FLAGS)
        self.runtime = fields.number("runtime", UINT64)
        self.deadline = fields.number("deadline", UINT64)
        self.period = fields.number("period", UINT64)


class IoPriority:
    __slots__ = ("io_class", "priority")

    def __init__(self, fields: Fields) -> None:
        fields.require("class")
        self.io_class = fields.choice("class", IO_PRIORITY_CLASSES)
        self.priority = fields.number("priority", INT32)


class CpuAffinity:
    """Lists of CPUs as in cpuset(7), "" for none."""

    __slots__ = ("final", "initial")

    def __init__(self, fields: Fields) -> None:
        self.initial = _cpu_list(fields, "initial")
        self.final = _cpu_list(fields, "final")


def _cpu_list(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if value.strip("0123456789, -"):
        raise fields.fail(name, "expected a list of CPUs such as 0-3,7")
    return value


class Process:
    """env: as it stands there, NAME=VALUE. capabilities: names by set, or None if the object is missing.
    console_size: (height, width)."""

    __slots__ = (
        "apparmor_profile",
        "args",
        "capabilities",
        "console_size",
        "cpu_affinity",
        "cwd",
        "env",
        "io_priority",
        "no_new_privileges",
        "oom_score_adj",
        "path",
        "rlimits",
        "scheduler",
        "selinux_label",
        "terminal",
        "user",
    )

    def __init__(self, fields: Fields) -> None:
        self.path = fields.path
        self.args = fields.texts("args")
        self.env = fields.texts("env")
        self.cwd = fields.text("cwd")
        self.terminal = fields.flag("terminal")
        self.user = User(fields.section("user") or Fields({}, fields.at("user")))
        self.console_size: tuple[int, int] | None = None
        if box := fields.section("consoleSize"):
            box.require("height", "width")
            self.console_size = (box.number("height", UINT64), box.number("width", UINT64))
        self.capabilities: dict[str, tuple[str, ...]] | None = None
        if sets := fields.section("capabilities"):
            self.capabilities = {name: sets.texts(name) for name in CAPABILITY_SETS}
        self.rlimits = [Rlimit(rlimit) for rlimit in fields.sections("rlimits")]
        self.no_new_privileges = fields.flag("noNewPrivileges")
        self.apparmor_profile = fields.text("apparmorProfile")
        self.selinux_label = fields.text("selinuxLabel")
        self.oom_score_adj = fields.optional_number("oomScoreAdj", (-1000, 1000))
        scheduler = fields.section("scheduler")
        self.scheduler = Scheduler(scheduler) if scheduler else None
        io_priority = fields.section("ioPriority")
        self.io_priority = IoPriority(io_priority) if io_priority else None
        affinity = fields.section("execCPUAffinity")
        self.cpu_affinity = CpuAffinity(affinity) if affinity else None
        fields.text("commandLine")
        # Last, so that a value of a wrong type is told before one that is missing.
        fields.require("cwd")


def read_process(path: str) -> Process:
    """The document of `exec --process`, checked as config.json's process is. BundleError, SpecError."""
    name = os.path.basename(path) or path
    fields = read_document(path, name, f"open {path}: no such file or directory", is_regular=False)
    process = Process(fields)
    check_process(process)
    return process


def check_process(process: Process | None) -> None:
    """What runc demands of a process before it starts one."""
    if process is None:
        raise SpecError("process", "process property must not be empty")
    at = f"{process.path}." if process.path else ""
    if not process.cwd:
        raise SpecError(f"{at}cwd", "Cwd property must not be empty")
    if not process.cwd.startswith("/"):
        raise SpecError(f"{at}cwd", "Cwd must be an absolute path")
    if not process.args:
        raise SpecError(f"{at}args", "args must not be empty")
