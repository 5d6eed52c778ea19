"""--pid-file: the pid in decimal without a newline, there as a whole or not at all (engines read it once)."""

from __future__ import annotations

import os

from pysentry.oci.errors import OciError


def write(path: str, pid: int) -> None:
    """Raises OciError."""
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(partial, path)
    except OSError as error:
        raise OciError(f"open {path}: {error.strerror}") from None
