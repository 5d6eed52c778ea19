"""The Linux Test Project's syscall tests, from where they are installed: runtest/syscalls, one line a case."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bench.compat import calls
from bench.compat.case import FAIL, PASS, SKIP, Case, Verdict

# Their own limit is 30 s for most of them, more for a few.
TIME_LIMIT_S = 90.0
# tst_res_flags.h: the exit status is a set of these.
TFAIL, TBROK, TWARN, TCONF = 1, 2, 4, 32
_LABELS = {TFAIL: "TFAIL", TBROK: "TBROK", TWARN: "TWARN"}
_LINE = re.compile(r"^\s*([A-Za-z0-9_.+-]+)\s+(\S.*?)\s*$")


def cases(installed: Path | None) -> list[Case]:
    """Tests whose program is installed. Raises FileNotFoundError."""
    if installed is None:
        raise FileNotFoundError("needs --ltp DIR, an installation's prefix such as /opt/ltp")
    table, programs = installed / "runtest/syscalls", installed / "testcases/bin"
    if not table.is_file():
        raise FileNotFoundError(f"{table} does not exist")
    if installed.resolve().is_relative_to("/tmp"):
        raise FileNotFoundError(f"{installed} is below /tmp, of which sandboxes have one of their own")
    found: dict[str, Case] = {}
    for line in table.read_text().splitlines():
        match = _LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        name, command = match.groups()
        if not (programs / shlex.split(command)[0]).is_file():
            continue
        call = calls.of_name(name)
        found[name] = Case(
            "ltp",
            name,
            calls.family_of(call),
            ("/bin/sh", "-c", f"{command}; exit $?"),  # a shell is pid 1, in every runtime, not the test
            TIME_LIMIT_S,
            syscalls=(call,) if call else (),
            environment={
                "LTPROOT": str(installed),
                "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TMPDIR": "{place}",
                "LTP_COLORIZE_OUTPUT": "n",
                "LTP_TIMEOUT_MUL": "2",  # of their time-outs, not of how long they run
            },
            is_read=(str(installed),),
        )
    return list(found.values())


def judge(status: int, output: str) -> Verdict:
    """As LTP's own runners: only TCONF is a skip, anything else but 0 a failure."""
    if status == 0:
        return Verdict(PASS)
    if status == TCONF:
        return Verdict(SKIP, _said(output, "TCONF") or "TCONF")
    if status > 128:
        return Verdict(FAIL, f"signal {status - 128}")
    label = next((label for bit, label in _LABELS.items() if status & bit), f"status {status}")
    return Verdict(FAIL, f"{label}: {_said(output, label)}".removesuffix(": "))


def _said(output: str, label: str) -> str:
    """What the first line with that label says, without the place in the source."""
    match = re.search(rf"{label}\s*:\s*(?:\S+\.[ch]:\d+:\s*)?(.*)", output)
    return match[1].strip()[:160] if match else ""
