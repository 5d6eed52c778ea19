"""Types of the C structs of native/sentry.h, for the type checker only: the fields that Python uses."""

from __future__ import annotations

from typing import Any, Protocol


class CSuperblock(Protocol):
    id: int
    kind: int
    flags: int
    tree: int
    dev: int
    next_ino: int
    root: CDentry
    covered: CDentry
    store: int
    lease_ns: int


class CInode(Protocol):
    id: int
    sb: CSuperblock
    refs: int
    flags: int
    mode: int
    uid: int
    gid: int
    nlink: int
    ino: int
    dev: int
    rdev: int
    size: int
    blocks: int
    blksize: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int
    host_fd: int
    symlink: Any
    lower_path: Any
    checked_ns: int
    writers: int


class CDentry(Protocol):
    parent: CDentry
    inode: CInode
    sb: CSuperblock
    mounted: CDentry
    first_child: CDentry
    next_sibling: CDentry
    prev_sibling: CDentry
    refs: int
    flags: int
    checked_ns: int
    hash: int
    name_len: int
    name: Any


class CDescription(Protocol):
    id: int
    refs: int
    kind: int
    flags: int
    open_flags: int
    host_fd: int
    dentry: CDentry
    inode: CInode
    waiters: Any
    dir_pos: int
    pos: int
    listing: Any
    member_count: int


class CFdSlot(Protocol):
    desc: CDescription
    cloexec: int
    reserved: int
    native: int


class CFdTable(Protocol):
    refs: int
    capacity: int
    first_free: int
    slots: list[CFdSlot]


class CFsContext(Protocol):
    refs: int
    umask: int
    root: CDentry
    cwd: CDentry


class CCredentials(Protocol):
    refs: int
    uid: int
    euid: int
    suid: int
    fsuid: int
    gid: int
    egid: int
    sgid: int
    fsgid: int
    cap_permitted: int
    cap_effective: int
    cap_inheritable: int
    cap_bounding: int
    cap_ambient: int
    securebits: int
    session_keyring: int
    no_new_privs: int
    ngroups: int
    groups: Any


class CThreadGroup(Protocol):
    refs: int
    tgid: int
    ns_tgid: int
    parent: CThreadGroup
    exe: CDentry
    rlimit_cur: list[int]
    rlimit_max: list[int]
    start_ns: int
    exec_count: int
    not_dumpable: int
    oom_score_adj: int
    oom_score_adj_min: int
    python_id: int


class CZombie(Protocol):
    tid: int
    uid: int
    gid: int
    comm: Any


class CTrap(Protocol):
    cookie: int
    args: list[int]
    ip: int
    nr: int
    retried: int
    progress: int
    deadline_ns: int


class CTask(Protocol):
    tid: int
    ns_tid: int
    state: int
    group: CThreadGroup
    files: CFdTable
    fs: CFsContext
    cred: CCredentials
    trap: CTrap
    restart: int
    python_id: int
    python_known: int
    has_wait_mask: int
    wait_mask: int
    wait_mask_addr: int
    all_next: CTask
    pdeath_signal: int
    is_strict: int
    host_result: int
    exit_status: int
    comm: Any
    is_waiting: int
    group_stopped: int
    exec_tells: int
