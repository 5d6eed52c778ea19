"""Resources that `update` is given by options instead of a document. Owns runc's option names and their units."""

from __future__ import annotations

from pysentry.oci.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# runc's option -> section and name in the resources document, and how its text reads.
OPTIONS = {
    "blkio-weight": ("blockIO", "weight", "number"),
    "cpu-period": ("cpu", "period", "number"),
    "cpu-quota": ("cpu", "quota", "number"),
    "cpu-burst": ("cpu", "burst", "number"),
    "cpu-share": ("cpu", "shares", "number"),
    "cpu-rt-period": ("cpu", "realtimePeriod", "number"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", "number"),
    "cpu-idle": ("cpu", "idle", "number"),
    "cpuset-cpus": ("cpu", "cpus", "text"),
    "cpuset-mems": ("cpu", "mems", "text"),
    "kernel-memory": ("memory", "kernel", "size"),
    "kernel-memory-tcp": ("memory", "kernelTCP", "size"),
    "memory": ("memory", "limit", "size"),
    "memory-reservation": ("memory", "reservation", "size"),
    "memory-swap": ("memory", "swap", "size"),
    "pids-limit": ("pids", "limit", "number"),
}
# They resize caches by a file system that pysentry does not touch.
REFUSED = ("l3-cache-schema", "mem-bw-schema")
UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def document_of(options: Mapping[str, str]) -> dict[str, Any]:
    """A resources document, to be read as the one of --resources is.

    Args:
        options: those that were given, without dashes in front: {"memory": "64m"}.

    Raises:
        UsageError: a value that cannot be read; the kernel judges the rest.
    """
    document: dict[str, Any] = {}
    for option, text in options.items():
        if option in REFUSED:
            raise UsageError(f"--{option} is not supported")
        section, name, kind = OPTIONS[option]
        try:
            value = text if kind == "text" else size_of(text) if kind == "size" else _whole(text)
        except ValueError:
            raise UsageError(f"invalid value for {option}: {text!a}") from None
        document.setdefault(section, {})[name] = value
    return document


def _whole(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError(text)
    return int(text)


def size_of(text: str) -> int:
    """Bytes: "67108864", "64m", "64MiB", "1.5g"; -1 for no limit. Units are powers of 1024, as with runc.

    Raises:
        ValueError: it is none.
    """
    if text == "-1":
        return -1
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(number) :].strip().lower()
    shift = UNITS[unit[:1]] if unit[:1] in UNITS and unit[1:] in ("", "b", "ib") else 0 if unit == "b" else None
    if shift is None or not (number.isascii() and number.replace(".", "", 1).isdecimal()):
        raise ValueError(text)
    return int(float(number) * (1 << shift)) if "." in number else int(number) << shift
