"""What the host's /proc says, read through the one descriptor that the sentry kept of it."""

from __future__ import annotations

from pysentry.abi.errno import ESRCH, LinuxError
from pysentry.platform.native import ffi, lib

_FIRST_BYTES = 8192
_MOST_BYTES = 1 << 26
_ENOENT, _ESRCH = -2, -3
OUR_FILTERS = 1


def read_host_path(path: str) -> bytes:
    """/proc/path on the host, whole. ESRCH: the task is gone (or there is no such file); others as the host says."""
    size = _FIRST_BYTES
    while True:
        buffer = ffi.new("char[]", size)
        got = lib.proc_read_path(path.encode(), buffer, size)
        if got < 0:
            raise ESRCH(path) if got in (_ENOENT, _ESRCH) else LinuxError.from_errno(-got)
        if got < size or size >= _MOST_BYTES:
            return bytes(ffi.buffer(buffer, got))
        size *= 8


def read_host_path_at(path: str, offset: int, size: int) -> bytes:
    """A part of /proc/path on the host, shorter at its end. ESRCH and others as read_host_path()."""
    buffer = ffi.new("char[]", size or 1)
    got = lib.proc_read_path_at(path.encode(), offset, buffer, size)
    if got < 0:
        raise ESRCH(path) if got in (_ENOENT, _ESRCH) else LinuxError.from_errno(-got)
    return bytes(ffi.buffer(buffer, got))


def status_fields(text: bytes) -> dict[bytes, bytes]:
    """The lines of /proc/TID/status by their name."""
    fields = {}
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        fields[name] = value.strip()
    return fields


def status_text(host: dict[bytes, bytes], made: dict[bytes, bytes], kept: list[bytes]) -> bytes:
    """The lines of the host's /proc/TID/status in their order: those that are made, and those kept as they are."""
    shown = {name: made.get(name, value if name in kept else None) for name, value in host.items()}
    return b"".join(name + b":\t" + value + b"\n" for name, value in shown.items() if value is not None)


def filter_count(tid: int) -> int:
    """How many seccomp filters the program has put on top of ours."""
    fields = status_fields(read_host_path(f"{tid}/status"))
    return max(0, int(fields.get(b"Seccomp_filters", b"1")) - OUR_FILTERS)
