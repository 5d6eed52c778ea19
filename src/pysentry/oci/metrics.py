"""What `metrics` prints: numbers of all containers of a --root in Prometheus' text format 0.0.4.

Owns names, help texts and the format. The numbers are the sentries' (control socket) and the host's (cgroups); a
container that cannot tell one of them, because it is paused or has no cgroup, has no line for it.
"""

from __future__ import annotations

from pysentry.oci import cgroups, client
from pysentry.oci.cgroups.files import NO_LIMIT
from pysentry.oci.ending import status_of
from pysentry.oci.errors import OciError
from pysentry.oci.state import CREATED, CREATING, PAUSED, RUNNING, STOPPED, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from pysentry.oci.state import Directory

NO_LIMIT_V1 = 1 << 62
"""v1 shows 2^63 less a page where there is no limit."""
STATUSES = (CREATING, CREATED, RUNNING, PAUSED, STOPPED)
PATIENCE_S = 2.0
"""For one sentry's answer: a scrape of many containers must not wait long for a sick one."""


class Sample:
    """One container. report: of the sentry; stats: of the cgroup (`data` of `events --stats`); {} if there is none."""

    __slots__ = ("identity", "report", "stats", "status")

    def __init__(self, identity: str, status: str, report: dict[str, Any], stats: dict[str, Any]) -> None:
        self.identity = identity
        self.status = status
        self.report = report
        self.stats = stats


def _reported(key: str, divisor: float = 1) -> Callable[[Sample], Iterator[tuple[dict[str, str], float]]]:
    def read(sample: Sample) -> Iterator[tuple[dict[str, str], float]]:
        if key in sample.report:
            yield {}, sample.report[key] / divisor if divisor != 1 else sample.report[key]

    return read


def _calls(sample: Sample) -> Iterator[tuple[dict[str, str], float]]:
    for label, key in (("fast", "fast"), ("punt", "punts"), ("python", "python"), ("control", "control")):
        if key in sample.report:
            yield {"disposition": label}, sample.report[key]


def _counted(*keys: str, divisor: float = 1) -> Callable[[Sample], Iterator[tuple[dict[str, str], float]]]:
    """A number of the statistics; none where it means that there is no limit."""

    def read(sample: Sample) -> Iterator[tuple[dict[str, str], float]]:
        value: Any = sample.stats
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        is_unlimited = keys[-1] == "limit" and (not value or value >= NO_LIMIT_V1 or value == NO_LIMIT)
        if value is not None and not is_unlimited:
            yield {}, value / divisor if divisor != 1 else value

    return read


def _cpu(sample: Sample) -> Iterator[tuple[dict[str, str], float]]:
    for mode, key in (("user", "user"), ("system", "kernel")):
        if usage := sample.stats.get("cpu", {}).get("usage"):
            yield {"mode": mode}, usage[key] / 1e9


def _status(sample: Sample) -> Iterator[tuple[dict[str, str], float]]:
    for status in STATUSES:
        yield {"status": status}, int(status == sample.status)


# Name (without "pysentry_"), type, help, and the lines of one container: labels beside the id, and a value.
METRICS: tuple[tuple[str, str, str, Callable[[Sample], Iterable[tuple[dict[str, str], float]]]], ...] = (
    ("container_status", "gauge", "1 for the state that the container is in.", _status),
    ("startup_seconds", "gauge", "From the start of the sentry until the container was ready, hooks included.",
     _reported("startup_ns", 1e9)),
    ("calls_total", "counter", "System calls that the sentry answered, by who did: fast (C), punt (C passed it on to "
     "Python), python, control (at a ptrace stop).", _calls),
    ("calls_continued_total", "counter", "Of these, calls that the host kernel was let go on with.",
     _reported("native")),
    ("calls_denied_total", "counter", "Calls that no row of the table allows; they got ENOSYS.", _reported("unknown")),
    ("calls_parked_total", "counter", "Calls that had to wait.", _reported("parked")),
    ("calls_interrupted_total", "counter", "Waiting calls that a signal ended.", _reported("interrupted")),
    ("forks_total", "counter", "Processes and threads that were started inside.", _reported("forks")),
    ("execs_total", "counter", "Programs that were executed inside.", _reported("execs")),
    ("signals_total", "counter", "Signals that were delivered inside.", _reported("signals")),
    ("gofer_requests_total", "counter", "Requests to the process that opens host paths.", _reported("gofer_calls")),
    ("internal_errors_total", "counter", "Errors of pysentry itself; any is a bug.", _reported("internal_errors")),
    ("memory_usage_bytes", "gauge", "Memory of the sentry, the gofer and the programs.",
     _counted("memory", "usage", "usage")),
    ("memory_peak_bytes", "gauge", "The most it ever was.", _counted("memory", "usage", "max")),
    ("memory_limit_bytes", "gauge", "The limit, where there is one.", _counted("memory", "usage", "limit")),
    ("memory_limit_hits_total", "counter", "How often the limit was reached.", _counted("memory", "usage", "failcnt")),
    ("cpu_seconds_total", "counter", "CPU time of the sentry, the gofer and the programs, by mode.", _cpu),
    ("cpu_throttled_seconds_total", "counter", "Time that the CPU quota held them back.",
     _counted("cpu", "throttling", "throttledTime", divisor=1e9)),
    ("pids", "gauge", "Processes and threads, the sentry's and the gofer's among them.", _counted("pids", "current")),
    ("pids_limit", "gauge", "The limit, where there is one.", _counted("pids", "limit")),
)  # fmt: skip


def collect(store: Store) -> list[Sample]:
    """Every container that is there. What ends or is removed meanwhile is left out, or tells less."""
    samples = []
    for identity in store.identities():
        try:
            with store.look(identity) as directory:
                record = directory.load()
                status = status_of(directory, record)
                report = _report(directory) if status in (CREATED, RUNNING) else {}
        except OciError:
            continue
        stats = cgroups.reopen(record.cgroup).stats() if status in (CREATED, RUNNING, PAUSED) else {}
        samples.append(Sample(identity, status, report, stats))
    return samples


def _report(directory: Directory) -> dict[str, int]:
    """The sentry is not trusted: only numbers that it can have counted."""
    try:
        report = client.ask(directory, {"op": "stats"}, PATIENCE_S).get("report")
    except OciError:
        return {}
    pairs = report.items() if isinstance(report, dict) else ()
    return {str(key): value for key, value in pairs if type(value) is int and 0 <= value < 1 << 64}


def render(samples: list[Sample]) -> str:
    """The text, each metric with its lines together, as the format wants it. Every container has its id as label."""
    lines: list[str] = []
    for name, kind, help_text, read in METRICS:
        lines.append(f"# HELP pysentry_{name} {_escaped(help_text)}")
        lines.append(f"# TYPE pysentry_{name} {kind}")
        for sample in samples:
            for labels, value in read(sample):
                pairs = {"container": sample.identity} | labels
                shown = ",".join(f'{key}="{_quoted(text)}"' for key, text in pairs.items())
                lines.append(f"pysentry_{name}{{{shown}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
