"""`update`: new limits for a container, from a document or from options."""

from __future__ import annotations

import os

from pysentry.oci.document import Fields, parse, read_bounded
from pysentry.oci.errors import UsageError
from pysentry.oci.processes import update_resources
from pysentry.oci.spec_resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call

# Option -> section and field of LinuxResources.
NUMBERS = {
    "blkio_weight": ("blockIO", "weight"),
    "cpu_period": ("cpu", "period"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_burst": ("cpu", "burst"),
    "cpu_share": ("cpu", "shares"),
    "cpu_rt_period": ("cpu", "realtimePeriod"),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime"),
    "cpu_idle": ("cpu", "idle"),
    "memory": ("memory", "limit"),
    "memory_reservation": ("memory", "reservation"),
    "memory_swap": ("memory", "swap"),
    "pids_limit": ("pids", "limit"),
}
TEXTS = {"cpuset_cpus": ("cpu", "cpus"), "cpuset_mems": ("cpu", "mems")}
FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def update(call: Call) -> int:
    given = call.text("resources")
    resources = Resources(_read(given) if given else Fields(_document(call)))
    for warning in update_resources(call.store, call.words[0], resources):
        call.log.warn(warning)
    return 0


def _read(path: str) -> Fields:
    if path == "-":
        return parse(read_bounded(0), "stdin")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        return parse(read_bounded(fd), path)
    finally:
        os.close(fd)


def _document(call: Call) -> dict[str, object]:
    """The options as the document would say it."""
    document: dict[str, dict[str, object]] = {}
    for key, (section, field) in NUMBERS.items():
        if call.text(key):
            document.setdefault(section, {})[field] = _number(key, call.text(key))
    for key, (section, field) in TEXTS.items():
        if call.text(key):
            document.setdefault(section, {})[field] = call.text(key)
    return dict(document)


def _number(key: str, value: str) -> int:
    """Bytes may have a unit, as go-units reads them: 512m, 1GiB."""
    text = value.strip().lower()
    unit = ""
    if key.startswith("memory"):
        unit = text.lstrip("-0123456789.").removesuffix("ib").removesuffix("b").strip()
        text = text.rstrip("bikmgtp ")
    try:
        return int(float(text) * FACTORS[unit]) if unit else int(text)
    except (ValueError, KeyError):
        raise UsageError(f"invalid value for {key.replace('_', '-')}: {value}") from None
