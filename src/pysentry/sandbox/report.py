"""What is told about a run at its end: `--stats` for people, PYSENTRY_REPORT for programs.

Owns the descriptors (opened before the lock-up, as the user who asked) and the words. The numbers are the engine's
(struct sentry_stats).
"""

from __future__ import annotations

import os
import time

from pysentry.sandbox.errors import ConfigError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.sandbox.config import RunConfig

ANSWERED = {
    "fast": "fast (C)",
    "punts": "punted to Python",
    "python": "python",
    "control": "control",
    "native": "of these, host",
}


class Outputs:
    """Descriptors for the trace, the statistics, the report and what changed; -1: not asked for."""

    __slots__ = ("changes", "export", "report", "started_cpu_s", "started_ns", "stats", "trace")

    def __init__(self, trace: int, stats: int, report: int, changes: int, export: int) -> None:
        self.changes = changes
        self.export = export
        self.trace = trace
        self.stats = stats
        self.report = report
        self.started_ns = time.monotonic_ns()
        self.started_cpu_s = time.process_time()


def open_outputs(config: RunConfig) -> Outputs:
    """Opens (and empties) the files that were asked for. Call it before leaving the caller's user and namespaces.

    Raises:
        ConfigError: one of them cannot be written.
    """
    global _opened
    report = _open("PYSENTRY_REPORT", config.report_path)
    _opened = Outputs(
        _open("--trace", config.trace),
        _open("--stats", config.stats),
        report,
        _open("--changes", config.changes),
        _open("--export", config.export),
    )
    return _opened


def announce(config: RunConfig, engine: str, host_uid: int) -> None:
    """`-v`: what was set up, on stderr, before the program starts."""
    if not config.is_verbose:
        return
    chosen = "chosen for this host" if config.platform == "auto" else "as asked"
    limited = f", {len(config.egress)} egress rules" if config.egress else ""
    lines = [
        f"engine: {engine} ({chosen}); fast path: {'on' if config.fast_path else 'off'}",
        f"root: {config.rootfs} (read-only, overlay in memory); network: {config.net}{limited}; host user: {host_uid}",
    ]
    for source, target, is_read_only in config.binds:
        lines.append(f"bind: {source} on {target} ({'read-only' if is_read_only else 'writable'})")
    os.write(2, "".join(f"pysentry: {line}\n" for line in lines).encode("utf-8", "surrogateescape"))


_opened: Outputs | None = None


def write_failure(exit_status: int) -> None:
    """The report of a sandbox that did not start; nothing if it was written already."""
    if _opened is not None and _opened.report >= 0:
        _write(_opened.report, _json({"exit_status": exit_status, "engine": "", "internal_errors": 0}))


def _open(option: str, path: str | None) -> int:
    if path is None:
        return -1
    try:
        if path == "-":
            return os.dup(2)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    except OSError as error:
        raise ConfigError(f"{option} {path}: {describe(error.errno or 0)}") from None


def write(outputs: Outputs, stats: object, exit_status: int, engine: str) -> None:
    """Writes both, whichever was asked for.

    Args:
        stats: lib.sentry_stats: whatever it counts is reported.
        engine: the platform that ran it.
    """
    elapsed_ns = time.monotonic_ns() - outputs.started_ns
    counts = {name: int(getattr(stats, name)) for name in dir(stats)}
    if outputs.report >= 0:
        _write(outputs.report, _json({"exit_status": exit_status, "engine": engine, "elapsed_ns": elapsed_ns} | counts))
        outputs.report = -1
    if outputs.stats >= 0:
        _write(outputs.stats, _table(counts, engine, elapsed_ns, time.process_time() - outputs.started_cpu_s))


def _json(values: dict[str, object]) -> str:
    """Flat, of names, whole numbers and plain words: not worth importing json for."""
    lines = (
        f'  "{name}": ' + (f'"{value}"' if isinstance(value, str) else str(value)) for name, value in values.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _table(counts: dict[str, int], engine: str, elapsed_ns: int, cpu_s: float) -> str:
    calls = max(1, counts["calls"])
    rows = [
        f"pysentry: {counts['calls']} calls trapped in {elapsed_ns / 1e9:.3f} s ({engine} engine), "
        f"{cpu_s:.3f} s of it in the sentry",
        "  answered          calls   share",
    ]
    for name, label in ANSWERED.items():
        rows.append(f"  {label:<16}{counts[name]:>7}  {100 * counts[name] / calls:5.1f} %")
    others = (name for name in counts if name not in ANSWERED and name != "calls")
    rows.append("  " + ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in others))
    return "\n".join(rows) + "\n"


def _write(fd: int, text: str) -> None:
    data = text.encode()
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass
    os.close(fd)
