"""execve: from the path to the list that the stub carries out (DESIGN.md section 4, native/engine/exec.c).

Three moments: `begin` at the program's own call, where everything that may fail is tried; `done` when the host kernel
has replaced the address space by the stub's (or refused); `load` when the stub asks what to map.
"""

from __future__ import annotations

import os
import struct
from struct import Struct

from pysentry.abi.errno import (
    EACCES,
    EINVAL,
    ELIBBAD,
    ELOOP,
    ENOENT,
    ENOEXEC,
    EPERM,
    ETXTBSY,
    LinuxError,
)
from pysentry.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from pysentry.abi.stat import S_IFMT, S_IFREG
from pysentry.kernel import credentials, file_capabilities
from pysentry.kernel.personality import ADDR_NO_RANDOMIZE, personalities
from pysentry.kernel.report import internal_error
from pysentry.loader import elf, script
from pysentry.loader.stub_list import add_interpreter, choose_bias, program_list
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import attach
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode

NR_EXECVE, NR_EXECVEAT = 59, 322
S_ISUID, S_ISGID, S_IXGRP = 0o4000, 0o2000, 0o010
RED_ZONE = 128
ARGUMENTS_MAX = 1 << 17  # words; the host kernel refuses more by its own limits first
AT_NULL, AT_PHDR, AT_PHENT, AT_PHNUM, AT_BASE, AT_ENTRY = 0, 3, 4, 5, 7, 9
AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE, AT_EXECFN = 11, 12, 13, 14, 23, 31
ALL_CAPS = (1 << 41) - 1
_STUB_ARG_BYTES = lib.STUB_OPS * lib.STUB_OP_BYTES
_NAME_MAX = 4096
_WORDS = Struct("<QQ")

on_exec: list[Callable[[Task], None]] = []
"""Told when a program has been replaced (timers are deleted, a shared table was split, ...)."""
on_failure: list[Callable[[Task, int, bool], None]] = []
"""Told of the errno of an exec that failed, and whether its file itself was found."""


class Image:
    """An executable file that was opened and looked at."""

    __slots__ = ("_capabilities", "_interpreter", "dentry", "desc", "elf", "head", "inode", "version")

    def __init__(self, dentry: CDentry, desc: CDescription) -> None:
        self.dentry = dentry
        self.desc = desc
        self.inode: CInode = dentry.inode
        self.version = self._version()  # before the content is looked at
        self.head = os.pread(desc.host_fd, elf.PAGE, 0)
        self.elf: elf.Elf | None = None
        self._interpreter: bytes | None = None
        self._capabilities: list[file_capabilities.FileCapabilities | None] = []  # empty: not asked for yet

    def _version(self) -> tuple[int, int, int]:
        status = os.fstat(self.desc.host_fd)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def is_unchanged(self) -> bool:
        """Nobody wrote to the file since. In trees that nobody changes there is nothing to ask."""
        return bool(self.dentry.sb.flags & lib.SB_CACHED) or self._version() == self.version

    def parse(self) -> elf.Elf:
        if self.elf is None:
            self.elf = elf.parse(self.head, os.fstat(self.desc.host_fd).st_size)
        return self.elf

    def capabilities(self) -> file_capabilities.FileCapabilities | None:
        """What the file gives. Asked for once where nobody but the sandbox can change it, and the sandbox has not."""
        if self._capabilities and not self.inode.flags & (lib.INODE_ATTACHED | lib.INODE_UPPER):
            return self._capabilities[0]
        found = file_capabilities.of_file(self.dentry)
        if self.dentry.sb.flags & lib.SB_CACHED:
            self._capabilities = [found]
        return found

    def interpreter(self) -> bytes:
        """The path that PT_INTERP names. ENOEXEC: it is no string."""
        if self._interpreter is None:
            assert self.elf is not None
            assert self.elf.interp_range is not None
            offset, size = self.elf.interp_range
            name = os.pread(self.desc.host_fd, size, offset)
            if len(name) != size or name[-1:] != b"\0":
                raise ENOEXEC("interpreter name")
            self._interpreter = name.rstrip(b"\0")
        return self._interpreter

    def release(self) -> None:
        lib.desc_unref(self.desc)


class ImageCache:
    """Programs of lower trees that are cached stay open: shells start the same few again and again."""

    CAPACITY = 64

    def __init__(self) -> None:
        self._images: dict[int, Image] = {}

    def open(self, task: Task, dentry: CDentry) -> Image:
        """With a reference of its own on the description."""
        identity = dentry.inode.id
        image = self._images.get(identity)
        if image is not None and not image.inode.flags & lib.INODE_UPPER and image.dentry == dentry:
            if image.is_unchanged():
                lib.desc_ref(image.desc)
                return image
            self._images.pop(identity).release()
        desc = filesystem_of(dentry.sb).open(task, dentry, os.O_RDONLY)
        attach(desc, dentry)  # holds the dentry as long as the image: it may be unlinked, or forgotten, during the exec
        image = Image(dentry, desc)
        is_kept = dentry.sb.flags & lib.SB_CACHED or dentry.sb.lease_ns
        if is_kept and not dentry.inode.flags & (lib.INODE_UPPER | lib.INODE_PYTHON):
            self._forget_unlinked()
            if len(self._images) >= self.CAPACITY or identity in self._images:
                oldest = identity if identity in self._images else next(iter(self._images))
                self._images.pop(oldest).release()
            lib.desc_ref(desc)
            self._images[identity] = image
        return image

    def _forget_unlinked(self) -> None:
        """A program that was replaced or removed must not keep its blocks."""
        for identity, image in list(self._images.items()):
            if image.dentry.flags & lib.DENTRY_UNHASHED:
                self._images.pop(identity).release()


_images = ImageCache()


class Plan:
    """What an exec that has begun will become. Owns a reference on both descriptions."""

    __slots__ = ("comm", "dentry", "execfn", "image", "interp", "is_secure", "new_cred")

    def __init__(self) -> None:
        self.image: Image
        self.interp: Image | None = None
        self.execfn = b""
        self.comm = b""
        self.new_cred: dict[str, object] = {}
        self.is_secure = False

    def release(self) -> None:
        self.image.release()
        if self.interp is not None:
            self.interp.release()


first_error = 0
"""Why the very first exec of the sandbox failed: errno, or 0."""
first_exists = False
"""Whether its file itself was found."""
_exists = False  # the same of the exec under way


def begin(task: Task) -> int:
    """0: the engine runs the stub, with args[0] the address of a NUL byte and args[1] that of argv; or -errno."""
    global _exists
    _exists = False
    try:
        task.exec_plan = _plan(task)
        return 0
    except LinuxError as error:
        _failed(task, error.errno)
        return -error.errno
    except Exception:
        internal_error("execve")
        return -5


def _failed(task: Task, number: int) -> None:
    global first_error, first_exists
    if not first_error:
        first_error, first_exists = number, _exists
    for hook in on_failure:
        hook(task, number, _exists)


def _plan(task: Task) -> Plan:
    args = task.c.trap.args
    if task.c.trap.nr == NR_EXECVEAT:
        dirfd, path_addr, argv, flags = _int32(args[0]), args[1], args[2], _int32(args[4])
    else:
        dirfd, path_addr, argv, flags = AT_FDCWD, args[0], args[1], 0
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise EINVAL("execveat flags")
    path = task.memory.read_cstr(path_addr)
    dentry = ffi.NULL if flags else lib.task_walk(task.c, dirfd, path)
    if dentry == ffi.NULL:
        walk = resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH))
        dentry = walk.require()
    if flags & AT_SYMLINK_NOFOLLOW and dentry.inode.mode & S_IFMT == 0o120000:
        raise ELOOP
    plan = Plan()
    is_by_path = dirfd == AT_FDCWD or path[:1] == b"/"
    plan.execfn = path if is_by_path else b"/dev/fd/%d" % dirfd + (b"/" + path if path else b"")
    plan.comm = os.path.basename(path) if path else b"%d" % dirfd
    global _exists
    _exists = True
    image = _open_image(task, dentry)
    scratch = task.c.trap.ip - RED_ZONE  # the program's stack pointer: below its red zone nobody else writes
    prefix: list[bytes] = []
    for _ in range(script.MAX_NESTING + 1):
        if image.head[:2] != b"#!":
            break
        try:
            if not path.startswith(b"/") and dirfd != AT_FDCWD and task.fd_table.slot(dirfd).cloexec:
                raise ENOENT("the interpreter could not open the script: its descriptor is close-on-exec")
            interpreter, argument = script.parse(image.head)
            name = prefix[0] if prefix else plan.execfn
            prefix[:1] = [interpreter, *([argument] if argument is not None else []), name]
            next_image = _open_image(task, _find(task, interpreter))
        finally:
            image.release()
        image = next_image
    else:
        image.release()
        raise ELOOP("#! nested too deeply")
    plan.image = image
    try:
        _load_interpreter(task, plan)
        _set_ids(task, plan)
        if prefix:
            args[1], args[0] = _script_arguments(task, scratch, argv, prefix)
        else:
            args[1], args[0] = argv, path_addr + len(path)
    except BaseException:
        plan.release()
        raise
    return plan


def _find(task: Task, path: bytes) -> CDentry:
    """What a path names; opened at once, before it may be forgotten."""
    dentry: CDentry = lib.task_walk(task.c, AT_FDCWD, path)
    return dentry if dentry != ffi.NULL else resolve(task, AT_FDCWD, path).require()


def _open_image(task: Task, dentry: CDentry) -> Image:
    inode = dentry.inode
    if inode.mode & S_IFMT != S_IFREG or dentry.sb.flags & lib.SB_NOEXEC:
        raise EACCES("not a regular file, or a file system without programs")
    if lib.inode_permission(task.cred, inode, 1):
        raise EACCES("no execute permission")
    if lib.file_is_written(inode):
        raise ETXTBSY("open for writing")
    return _images.open(task, dentry)


def _load_interpreter(task: Task, plan: Plan) -> None:
    program = plan.image.parse()
    if program.interp_range is None:
        return
    plan.interp = _open_image(task, _find(task, plan.image.interpreter()))
    try:
        plan.interp.parse()
    except ENOEXEC:
        raise ELIBBAD from None


def _set_ids(task: Task, plan: Plan) -> None:
    """Set-user-id and set-group-id files, and files with capabilities; root has no use for those."""
    cred, inode = task.cred, plan.image.inode
    euid, egid, given = cred.euid, cred.egid, None
    is_watched = not lib.task_tracer_is_privileged(task.c)  # by somebody who could make use of what it gains
    may_give = not plan.image.dentry.sb.flags & lib.SB_NOSUID and not is_watched
    if may_give and (cred.uid != 0 or cred.securebits & credentials.SECBIT_NOROOT):
        given = plan.image.capabilities()
    if may_give and not cred.no_new_privs:
        if inode.mode & S_ISUID:
            euid = inode.uid
        if inode.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP:
            egid = inode.gid
    may_gain = not (cred.no_new_privs or is_watched)
    changes = plan.new_cred = credentials.at_exec(cred, euid, egid, given, may_gain)
    has_grown = changes["cap_permitted"] & ~changes["cap_ambient"] or (given is not None and given.is_effective)
    plan.is_secure = (euid, egid) != (cred.uid, cred.gid) or (cred.uid != 0 and bool(has_grown))


def _script_arguments(task: Task, scratch: int, argv: int, prefix: list[bytes]) -> tuple[int, int]:
    """Builds argv for a script's interpreter below the program's stack: (its address, the address of a NUL byte)."""
    memory = task.memory
    pointers: list[int] = []
    addr = argv
    while argv:
        chunk = memory.read_some(addr, min(1024, elf.PAGE - addr % elf.PAGE))
        if len(chunk) < 8:
            chunk = memory.read(addr, 8)
        words = memoryview(chunk[: len(chunk) // 8 * 8]).cast("Q").tolist()
        if 0 in words:
            pointers += words[: words.index(0)]
            break
        pointers += words
        addr += 8 * len(words)
        if len(pointers) > ARGUMENTS_MAX:
            from pysentry.abi.errno import E2BIG

            raise E2BIG
    text = b"\0".join(prefix) + b"\0"
    at = (scratch - len(text)) & -16
    addresses, offset = [], at
    for word in prefix:
        addresses.append(offset)
        offset += len(word) + 1
    table = memoryview(b"".join(w.to_bytes(8, "little") for w in [*addresses, *pointers[1:], 0]))
    table_at = (at - len(table)) & -16
    memory.write(at, text)
    memory.write(table_at, table)
    return table_at, at + len(text) - 1


def done(task: Task, result: int) -> None:
    """The host kernel replaced the program (0), or refused (-errno): E2BIG, ENOMEM, EFAULT of its arguments."""
    plan: Plan = task.exec_plan
    if result < 0:
        plan.release()
        task.exec_plan = None
        _failed(task, -result)
        return
    group = task.c.group
    lib.dentry_ref(plan.image.dentry)
    if group.exe != ffi.NULL:
        lib.dentry_unref(group.exe)
    group.exe = plan.image.dentry
    task.comm = plan.comm
    task.set_cred(**plan.new_cred)
    for hook in on_exec:
        hook(task)


def load(task: Task) -> int:
    """The stub asks: args are (address of its list, its stack pointer). Returns the stack pointer, or -errno: the
    program dies, since there is none to go back to."""
    plan: Plan | None = task.exec_plan
    task.exec_plan = None
    if plan is None:
        return -EPERM.errno
    try:
        return _load(task, plan, task.c.trap.args[0], task.c.trap.args[1])
    except LinuxError as error:
        return -error.errno
    except Exception:
        internal_error("loading a program")
        return -5
    finally:
        plan.release()


def _load(task: Task, plan: Plan, list_at: int, stack: int) -> int:
    program = plan.image.parse()
    bias = choose_bias(program, is_random=not personalities.of(task) & ADDR_NO_RANDOMIZE)
    todo = program_list(program, lib.EXE_FD, bias)
    _install(task, plan.image, lib.EXE_FD)
    entry, base_word = bias + program.entry, 0
    cred = task.cred
    name_at = list_at + _STUB_ARG_BYTES
    values = {
        AT_PHDR: program.phdr_vaddr + bias if program.phdr_vaddr else 0,
        AT_PHENT: program.phent,
        AT_PHNUM: program.phnum,
        AT_ENTRY: entry,
        AT_BASE: 0,
        AT_UID: cred.uid,
        AT_EUID: cred.euid,
        AT_GID: cred.gid,
        AT_EGID: cred.egid,
        AT_SECURE: int(plan.is_secure),
        AT_EXECFN: name_at,
    }
    vector_at, vector = auxiliary_vector(task, stack)
    for index in range(0, len(vector), 2):
        if vector[index] in values:
            if vector[index] == AT_BASE:
                base_word = vector_at + 8 * (index + 1)
            vector[index + 1] = values[vector[index]]
    task.memory.write(vector_at, struct.pack(f"<{len(vector)}Q", *vector))
    task.memory.write(name_at, plan.execfn[: _NAME_MAX - 1] + b"\0")
    if program.wants_exec_stack:
        todo.make_stack_executable(stack)
    tells = bool(task.c.exec_tells)
    if plan.interp is None:
        operations = todo.finish(entry, False, tells)
    else:
        interp = plan.interp.parse()
        _install(task, plan.interp, lib.INTERP_FD)
        is_relative = interp.is_pie
        add_interpreter(todo, interp, lib.INTERP_FD)
        if base_word and is_relative:
            todo.store_base(base_word)
        operations = todo.finish(interp.entry, is_relative, tells)
    task.memory.write(list_at, operations)
    return stack


def _install(task: Task, image: Image, fd: int) -> None:
    if lib.task_install_host(task.c, image.desc.host_fd, fd) < 0:
        raise ENOEXEC("descriptor")


def auxiliary_vector(task: Task, stack: int) -> tuple[int, list[int]]:
    """(address, words) of the vector the host kernel made for the stub: past argc, argv, NULL, envp, NULL."""
    memory = task.memory
    words: list[int] = []

    def more() -> None:
        addr = stack + 8 * len(words)
        chunk = memory.read_some(addr, 4096 if len(words) else 2048)
        words.extend(memoryview(chunk[: len(chunk) // 8 * 8]).cast("Q").tolist())

    more()
    index = words[0] + 2
    while True:  # envp ends with NULL
        while index >= len(words):
            more()
        if words[index] == 0:
            break
        index += 1
    start = end = index + 1
    while True:
        while end + 1 >= len(words):
            more()
        if words[end] == AT_NULL:
            break
        end += 2
    return stack + 8 * start, words[start : end + 2]


def _int32(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
