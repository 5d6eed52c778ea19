"""`pysentry doctor`: which mechanisms this host has, what a missing one means, and how to get it.

Each probe tries the thing itself, in a child process, as the user who would run a sandbox. Exit status 0 when a
sandbox can start, 1 when it cannot.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import click

from pysentry.platform.native import lib
from pysentry.sandbox.errors import describe

OLDEST_KERNEL = (5, 12)  # mount_setattr(2): read-only views of what the gofer serves


@dataclass(frozen=True, slots=True)
class Finding:
    """One mechanism. is_needed: no sandbox without it (by either engine)."""

    name: str
    is_present: bool
    is_needed: bool
    detail: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out. `test` answers 0, a positive number for "in part", or -errno."""

    name: str
    test: Callable[[], int]
    is_needed: bool
    meaning: str
    remedy: str


_CONTAINER = "in a container: a seccomp profile that allows it (docker: --security-opt seccomp=unconfined)"
_USERNS = "sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1 (where the latter exists)"

PROBES = (
    Probe(
        "seccomp user notification",
        lambda: min(0, lib.probe_user_notification()),
        False,
        "the seccomp engine needs it; without it the slower ptrace engine is used",
        "Linux 5.9 or newer; " + _CONTAINER,
    ),
    Probe(
        "seccomp WAIT_KILLABLE_RECV",
        lambda: -38 if lib.probe_user_notification() == 1 else lib.probe_user_notification(),
        False,
        "a signal could break off a call that is being answered; without it the ptrace engine is used",
        "Linux 5.19 or newer",
    ),
    Probe(
        "seccomp SYNC_WAKE_UP",
        lambda: lib.probe_sync_wake_up(),
        False,
        "without it a call costs more when it is answered on another CPU",
        "Linux 6.6 or newer",
    ),
    Probe(
        "ptrace (SEIZE)",
        lambda: lib.probe_ptrace_seize(),
        True,
        "both engines control processes with it",
        "sysctl kernel.yama.ptrace_scope=1 or 0 (if it is 2 or 3); " + _CONTAINER,
    ),
    Probe("process_vm_readv", lambda: lib.probe_process_vm(), True, "arguments are read with it", _CONTAINER),
    Probe(
        "pidfd_getfd",
        lambda: lib.probe_pidfd_getfd(),
        False,
        "the seccomp engine takes the listener out of the first process with it",
        "Linux 5.6 or newer; " + _CONTAINER,
    ),
    Probe("openat2", lambda: lib.probe_openat2(), True, "keeps the gofer's paths below its root", "Linux 5.6 or newer"),
    Probe("memfd_create", lambda: lib.probe_memfd(), True, "files in memory are memfds", "Linux 3.17 or newer"),
    Probe(
        "user namespace",
        lambda: lib.probe_user_namespace(0),
        True,
        "all other namespaces come with it; nothing runs without",
        f"as root: {_USERNS}; " + _CONTAINER,
    ),
    Probe(
        "pid namespace",
        lambda: lib.probe_user_namespace(lib.SANDBOX_NS_PID),
        True,
        "keeps the host's processes out of the workload's sight",
        "sysctl user.max_pid_namespaces=10000",
    ),
    Probe(
        "mount namespace",
        lambda: lib.probe_user_namespace(lib.SANDBOX_NS_MOUNT),
        True,
        "an empty root directory for sentry and workload",
        "sysctl user.max_mnt_namespaces=10000",
    ),
    Probe(
        "network namespace",
        lambda: lib.probe_user_namespace(lib.SANDBOX_NS_NET),
        True,
        "a loopback of its own (--net none); with --net host it can be done without",
        "sysctl user.max_net_namespaces=10000",
    ),
    Probe(
        "ipc, uts and cgroup namespaces",
        lambda: lib.probe_user_namespace(lib.SANDBOX_NS_IPC | lib.SANDBOX_NS_UTS | lib.SANDBOX_NS_CGROUP),
        True,
        "nothing of the host's by name",
        "sysctl user.max_ipc_namespaces=10000 user.max_uts_namespaces=10000 user.max_cgroup_namespaces=10000",
    ),
)


def doctor(options: Mapping[str, object], words: list[str]) -> int:
    """Prints the findings and which engine would run; 0 if one can."""
    findings = [_kernel(), _architecture(), *(_try(probe) for probe in PROBES), *_settings()]
    engine = _engine(findings)
    if options.get("json"):
        import json

        click.echo(json.dumps({"engine": engine, "findings": [asdict(one) for one in findings]}, indent=1))
        return 0 if engine else 1
    for finding in findings:
        mark = "ok     " if finding.is_present else "MISSING" if finding.is_needed else "absent "
        click.echo(f"{mark}  {finding.name}" + (f": {finding.detail}" if finding.detail else ""))
        if not finding.is_present:
            click.echo(f"           means: {finding.meaning}")
            click.echo(f"           get it: {finding.remedy}")
    if engine:
        click.echo(f"\nA sandbox can start here; engine: {engine}.")
    else:
        click.echo("\nNo sandbox can start here: see what is MISSING above.")
    return 0 if engine else 1


def _try(probe: Probe) -> Finding:
    result = probe.test()
    detail = describe(result) if result < 0 else ""
    return Finding(probe.name, result >= 0, probe.is_needed, detail, probe.meaning, probe.remedy)


def _kernel() -> Finding:
    release = os.uname().release
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    return Finding(
        "Linux kernel",
        version >= OLDEST_KERNEL,
        True,
        release,
        "older ones lack what both engines use",
        "Linux 5.19 or newer",
    )


def _architecture() -> Finding:
    machine = os.uname().machine
    return Finding(
        "x86-64", machine == "x86_64", True, machine, "the tables and the exec stub are for x86-64", "such a machine"
    )


def _settings() -> list[Finding]:
    """What is no mechanism but changes how the sandbox is confined or found."""
    found = []
    for name, path, bad, meaning, remedy in (
        (
            "Yama ptrace scope",
            "/proc/sys/kernel/yama/ptrace_scope",
            ("2", "3"),
            "only root may trace: run pysentry as root",
            "sysctl kernel.yama.ptrace_scope=1",
        ),
        (
            "AppArmor user namespace restriction",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            ("1",),
            "user namespaces come without capabilities",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ):
        try:
            with open(path, encoding="ascii") as content:
                value = content.read().strip()
        except OSError:
            continue
        found.append(Finding(name, value not in bad, False, value, meaning, remedy))
    found.append(_cgroups())
    return found


def _cgroups() -> Finding:
    for path in ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"):
        if os.path.exists(path):
            with open(path, encoding="ascii") as content:
                return Finding("cgroup v2", True, False, content.read().strip() or "no controllers", "", "")
    return Finding(
        "cgroup v2", False, False, "", "`run` does without; limits on memory need it", "a host that mounts it"
    )


def _engine(findings: list[Finding]) -> str:
    """Which engine --platform auto takes; empty: none can run."""
    present = {finding.name: finding.is_present for finding in findings}
    if not all(finding.is_present for finding in findings if finding.is_needed):
        return ""
    seccomp = ("seccomp user notification", "seccomp WAIT_KILLABLE_RECV", "pidfd_getfd")
    return "seccomp" if all(present[name] for name in seccomp) else "ptrace"
