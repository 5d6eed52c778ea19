"""Security modules: lsm_list_modules(2) and its kin. There is one, the capabilities, and it keeps no attributes."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import E2BIG, EINVAL, EOPNOTSUPP
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_UINT = Struct("=I")
_ID = Struct("=Q")
_CONTEXT = Struct("=QQQQ")  # struct lsm_ctx: id, flags, len, ctx_len
_LSM_ID_CAPABILITY = 100
_LSM_FLAG_SINGLE = 1
_PAGE = 4096


@syscall
def lsm_list_modules(task: Task, ids: UserAddr, size: UserAddr, flags: int) -> int:
    if flags:
        raise EINVAL("flags")
    (room,) = task.memory.read_struct(size, _UINT)
    task.memory.write_struct(size, _UINT, _ID.size)
    if room < _ID.size:
        raise E2BIG("size")
    task.memory.write_struct(ids, _ID, _LSM_ID_CAPABILITY)
    return 1


@syscall
def lsm_get_self_attr(task: Task, attr: int, ctx: UserAddr, size: UserAddr, flags: int) -> int:
    """security_getselfattr() in Linux security/security.c."""
    if not attr or not size:
        raise EINVAL("attr or size")
    task.memory.read_struct(size, _UINT)
    if flags:
        if flags != _LSM_FLAG_SINGLE or not ctx:
            raise EINVAL("flags")
        if not task.memory.read_struct(ctx, _CONTEXT)[0]:
            raise EINVAL("the one module is not named")
    task.memory.write_struct(size, _UINT, 0)
    raise EOPNOTSUPP("no module has attributes")


@syscall
def lsm_set_self_attr(task: Task, attr: int, ctx: UserAddr, size: int, flags: int) -> int:
    """security_setselfattr()."""
    if flags or size < _CONTEXT.size:
        raise EINVAL("flags or size")
    if size > _PAGE:
        raise E2BIG("size")
    _, _, length, context_length = _CONTEXT.unpack_from(task.memory.read(ctx, size))
    if length > size or length < _CONTEXT.size + context_length:
        raise EINVAL("lengths")
    raise EOPNOTSUPP("no module has attributes")
