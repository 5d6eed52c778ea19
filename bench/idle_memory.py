"""Memory of a sandbox that does nothing: PSS of all that the runtime keeps running beside the workload.

Proportional set size: a page that N processes map counts 1/N. The workload itself (`sleep`) is left out: it is not the
runtime's to shrink. See proc(5), smaps_rollup.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from bench.execute import await_exit, describe_status, start
from bench.processes import Process, descendants, look_at, pss_kib

_LOOK_INTERVAL_S = 0.1
_STEADY_LOOKS = 5
_STEADY_SHARE = 0.03  # strangers that map the same files come and go, and each changes our proportion


@dataclass(frozen=True)
class IdleMemory:
    """What was found at rest. `processes` are (command, PSS in KiB); `error` is empty when the run went well."""

    processes: tuple[tuple[str, int], ...]
    error: str = ""

    @property
    def total_mib(self) -> float:
        """Sum over the processes."""
        return sum(kib for _, kib in self.processes) / 1024


def measure_idle(
    prefix: Sequence[str], workload: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> IdleMemory:
    """Start workload under prefix, wait until memory no longer changes, add up. The workload must last some seconds."""
    with tempfile.TemporaryFile() as output:
        try:
            pid = start([*prefix, *workload], environment, output, output)
        except OSError as error:
            return IdleMemory((), str(error))
        processes = _await_steady(pid, PurePath(workload[0]).name)
        status = await_exit(pid, timeout_s)
        if status != 0:
            output.seek(0)
            return IdleMemory(processes, f"{describe_status(status)}: {output.read(500).decode(errors='replace')}")
    if not processes:
        return IdleMemory((), "memory was not steady before the workload ended")
    return IdleMemory(processes)


def _await_steady(pid: int, workload_name: str) -> tuple[tuple[str, int], ...]:
    """Look until the same processes have the same PSS several times in a row; empty if the run ends before that."""
    last: dict[int, int] = {}
    steady_looks = 0
    while True:
        found = runtime_processes(pid, workload_name)
        if not found:
            return ()
        try:
            memory = {process.pid: pss_kib(process.pid) for process in found}
        except OSError:
            memory = {}
        total = sum(memory.values())
        if memory.keys() == last.keys() and abs(total - sum(last.values())) <= _STEADY_SHARE * total:
            steady_looks += 1
        else:
            steady_looks = 0
        if memory and steady_looks >= _STEADY_LOOKS:
            return tuple((process.command or process.name, memory[process.pid]) for process in found)
        last = memory
        time.sleep(_LOOK_INTERVAL_S)


def runtime_processes(pid: int, workload_name: str) -> list[Process]:
    """pid and its descendants without the workload. Raises nothing: what ends meanwhile is left out."""
    if (first := look_at(pid)) is None:
        return []
    below = [look_at(descendant) for descendant in descendants(pid)]
    return [process for process in [first, *below] if process is not None and not is_workload(process, workload_name)]


def is_workload(process: Process, workload_name: str) -> bool:
    """Whether a process is the sandboxed program: a traced one (ptrace-based runtimes), or one that runs its file.

    gVisor's stubs and pysentry's workload run another file under another name, but both are traced; nothing that
    belongs to a runtime itself is.
    """
    return process.tracer_pid != 0 or PurePath(process.executable).name == workload_name
