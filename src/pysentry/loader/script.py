"""`#!` lines (execve(2), the kernel's fs/binfmt_script.c)."""

from __future__ import annotations

from pysentry.abi.errno import ENOEXEC

LINE_MAX = 255
MAX_NESTING = 5


def parse(head: bytes) -> tuple[bytes, bytes | None]:
    """(interpreter, its one optional argument). head: the file's first bytes, starting with `#!`.

    Raises ENOEXEC: no interpreter, or one whose name may be cut off.
    """
    line = head[2 : LINE_MAX + 1]
    end = line.find(b"\n")
    if end < 0:
        stripped = line.strip(b" \t")
        if len(head) > LINE_MAX and b" " not in stripped and b"\t" not in stripped:
            raise ENOEXEC("the interpreter's name is too long")
        end = len(line)
    line = line[:end].split(b"\0", 1)[0].strip(b" \t")
    if not line:
        raise ENOEXEC("no interpreter")
    parts = line.replace(b"\t", b" ", 1).split(b" ", 1) if b"\t" in line and b" " not in line else line.split(None, 1)
    return parts[0], (parts[1].strip(b" \t") if len(parts) > 1 else None)
