"""`ps`: the host's processes of a container, as pids or as the host's ps shows them."""

from __future__ import annotations

import os

from pysentry.cli.verbs import write_out
from pysentry.oci.errors import OciError, UsageError
from pysentry.oci.processes import pids_inside
from pysentry.sandbox.messages import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call

MOST_BYTES = 16 << 20


def ps(call: Call) -> int:
    form = call.text("format") or "table"
    if form not in ("table", "json"):
        raise UsageError("invalid format option")
    with call.store.look(call.words[0]) as directory:
        pids = pids_inside(directory)
    if form == "json":
        write_out(encode(pids) + "\n")
        return 0
    head, *lines = _host_ps(call.words[1:] or ["-ef"]).splitlines()
    if "PID" not in head.split():
        raise OciError("couldn't find PID field in ps output")
    column = head.split().index("PID")
    inside = {str(pid) for pid in pids}
    kept = [line for line in lines if len(fields := line.split()) > column and fields[column] in inside]
    write_out("".join(f"{line}\n" for line in (head, *kept)))
    return 0


def _host_ps(options: list[str]) -> str:
    output = os.memfd_create("ps", os.MFD_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        try:
            pid = os.posix_spawnp("ps", ["ps", *options], os.environ, file_actions=actions)
        except OSError:
            raise OciError('exec: "ps": executable file not found in $PATH') from None
        _, status = os.waitpid(pid, 0)
        text = os.pread(output, MOST_BYTES, 0).decode("utf-8", "surrogateescape")
    finally:
        os.close(output)
    if status != 0:
        raise OciError(f"ps {' '.join(options)}: exit status {os.waitstatus_to_exitcode(status)}: {text.strip()}")
    return text
