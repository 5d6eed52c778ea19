"""mount(2), umount2(2), pivot_root(2): arguments out of memory. What they do is vfs/mounting and vfs/pivot."""

from __future__ import annotations

from pysentry.abi.errno import EFAULT, EINVAL, ENAMETOOLONG
from pysentry.syscalls import mount_objects, mount_query  # noqa: F401 - of this family; they register themselves
from pysentry.syscalls.registry import syscall
from pysentry.vfs import mounting
from pysentry.vfs.pivot import pivot_root as make_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_PAGE = 4096
_MAGIC, _MAGIC_MASK = 0xC0ED0000, 0xFFFF0000  # Linux 2.4's way to say that the flags are flags


@syscall
def mount(task: Task, source: UserAddr, target: UserAddr, fstype: UserAddr, flags: int, data: UserAddr) -> int:
    type_name = _text(task, fstype) if fstype else None
    name = _text(task, source) if source else None
    options = _options(task, data) if data else b""
    if flags & _MAGIC_MASK == _MAGIC:
        flags &= ~_MAGIC_MASK
    mounting.mount(task, name, task.memory.read_cstr(target), type_name, flags, options)
    return 0


def _text(task: Task, address: UserAddr) -> bytes:
    """copy_mount_string(): no path yet, so that its length is an argument's."""
    try:
        return task.memory.read_cstr(address, _PAGE)
    except ENAMETOOLONG:
        raise EINVAL("longer than a page") from None


def _options(task: Task, data: UserAddr) -> bytes:
    """At most a page, ended by NUL: copy_mount_options()."""
    try:
        page = task.memory.read(data, _PAGE)
    except EFAULT:
        page = task.memory.read(data, _PAGE - data % _PAGE)
    return page.split(b"\0", 1)[0]


@syscall
def umount2(task: Task, target: UserAddr, flags: int) -> int:
    mounting.unmount(task, task.memory.read_cstr(target), flags)
    return 0


@syscall
def pivot_root(task: Task, new_root: UserAddr, put_old: UserAddr) -> int:
    mounting.check_may_mount(task)  # before the paths are read
    make_root(task, task.memory.read_cstr(new_root), task.memory.read_cstr(put_old))
    return 0
