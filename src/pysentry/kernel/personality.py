"""personality(2): the host keeps a task's, hands it on to children and honours what is about its memory map. Ours to
honour are what uname(2) says (uts.py) and where a program is put (loader/stub_list.py).

Owns the asking: of a host that nobody has told anything there is nothing to ask.
"""

from __future__ import annotations

from pysentry.kernel.proc_status import read_host_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

ADDR_NO_RANDOMIZE = 0x0040000


class Personalities:
    """is_any_set: some task has changed its own."""

    __slots__ = ("is_any_set",)

    def __init__(self) -> None:
        self.is_any_set = False

    def of(self, task: Task) -> int:
        """PER_* and flags, as personality(0xffffffff) tells them."""
        return int(read_host_path(f"{task.tid}/personality"), 16) if self.is_any_set else 0


personalities = Personalities()
