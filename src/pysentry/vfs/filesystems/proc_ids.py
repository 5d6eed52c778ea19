"""/proc/PID/uid_map and gid_map: what config.json maps, the same for every process."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_lines = dict.fromkeys(("uid", "gid"), b"         0          0 4294967295\n")


def show_id_map(kind: str, rows: Sequence[tuple[int, int, int]]) -> None:
    """Boot: the rows (inside, host, count) of "uid" or "gid"; none: every id is itself."""
    if rows:
        _lines[kind] = b"".join(b"%10d %10d %10d\n" % row for row in rows)


def lines(kind: str) -> bytes:
    return _lines[kind]
