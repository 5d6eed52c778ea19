"""stress-ng's stressors with --verify, one instance for a few seconds each, as an unprivileged user."""

from __future__ import annotations

import re
import shutil
import subprocess

from bench.compat import memory_limit
from bench.compat.case import FAIL, PASS, SKIP, UNPRIVILEGED, Case, Verdict

CLASSES = ("filesystem", "pipe-io", "scheduler", "signal", "vm", "network", "memory", "io")
# Words for what a version of stress-ng has no class for.
OLDER_CLASSES = {"pipe-io": "pipe"}
SIGNAL_STRESSORS = re.compile(r"^(sig\w*|kill|itimer|timer|timerfd|alarm|fault)$")
# core-process.h / stress-ng.1, "EXIT STATUS"
EXIT_WORDS = {
    2: "verification or run failed",
    5: "a stressor was killed by a signal",
    6: "a stressor ended by _exit()",
    7: "metrics cannot be trusted",
}
NO_RESOURCE, NOT_IMPLEMENTED = 3, 4
SPARE_S = 40.0
_PROBE_TIMEOUT_S = 30


def cases(seconds: int) -> list[Case]:
    """Raises FileNotFoundError."""
    program = shutil.which("stress-ng")
    if program is None:
        raise FileNotFoundError("apt-get install stress-ng")
    if not memory_limit.can_be_had():
        raise FileNotFoundError("a memory cgroup cannot be made here, and stressors take all the memory there is")
    found: dict[str, Case] = {}
    for class_name in CLASSES:
        for stressor in _stressors(program, class_name):
            if stressor not in found:
                found[stressor] = _case(program, stressor, class_name, seconds)
    return list(found.values())


def _case(program: str, stressor: str, class_name: str, seconds: int) -> Case:
    command = f"{program} --{stressor} 1 --verify --timeout {seconds}s --temp-path . --vm-bytes 64m; exit $?"
    return Case(
        "stress-ng", stressor, class_name, ("/bin/sh", "-c", command), seconds + SPARE_S, user=UNPRIVILEGED
    )


def _stressors(program: str, class_name: str) -> list[str]:
    """What `--class NAME?` lists; the signal class of newer versions by its names."""
    known = _ask(program, class_name) or _ask(program, OLDER_CLASSES.get(class_name, ""))
    if not known and class_name == "signal":
        known = [name for name in _ask(program, "os") + _ask(program, "interrupt") if SIGNAL_STRESSORS.match(name)]
    return known


def _ask(program: str, class_name: str) -> list[str]:
    if not class_name:
        return []
    answer = subprocess.run(
        [program, "--class", f"{class_name}?"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
    )
    listed = re.search(rf"class '{re.escape(class_name)}' stressors:(.*)", answer.stdout + answer.stderr)
    return listed[1].split() if listed else []


def judge(status: int, output: str) -> Verdict:
    if "No stress workers invoked" in output:
        return Verdict(SKIP, _summary(output) or "no stress workers invoked")
    if status == 0:
        return Verdict(PASS) if "skipped" not in _summary(output) else Verdict(SKIP, _summary(output))
    if status in (NO_RESOURCE, NOT_IMPLEMENTED):
        return Verdict(SKIP, "not implemented" if status == NOT_IMPLEMENTED else "a resource is missing")
    if status > 128:
        return Verdict(FAIL, f"signal {status - 128}")
    said = re.search(r"stress-ng: (?:fail|error): +\[\d+\] (.*)", output)
    return Verdict(FAIL, (said[1][:160] if said else "") or EXIT_WORDS.get(status, f"status {status}"))


def _summary(output: str) -> str:
    """The line that says a stressor was left out; stress-ng ends with 0 after it."""
    said = re.search(r"info: +\[\d+\] (.*skipp(?:ed|ing).*)", output)
    return said[1] if said and "skipped: 0" not in said[1] else ""
