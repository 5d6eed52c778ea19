"""Who may do what to a file, by the virtual credentials: mode bits, ownership, capabilities, sticky directories.

Owns the rules only: which of them a call asks for, and in which order, is in namei.py, open.py and the handlers. The
mode bits themselves are judged by `inode_permission` in native/vfs/inode.c, since the fast paths need the same.
Sources: Linux fs/namei.c (may_create, may_delete, check_sticky), fs/attr.c (setattr_prepare), path_resolution(7).
"""

from __future__ import annotations

from pysentry.abi.capability import CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID
from pysentry.abi.errno import EACCES, EBUSY, EISDIR, ENOENT, ENOTDIR, EPERM, EROFS
from pysentry.abi.stat import S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP, is_directory
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CCredentials, CDentry, CInode, CSuperblock

MAY_EXEC, MAY_WRITE, MAY_READ = 1, 2, 4


def is_capable(cred: CCredentials, capability: int) -> bool:
    """True if the capability (bit number, capabilities(7)) is effective."""
    return bool(cred.cap_effective >> capability & 1)


def is_in_group(cred: CCredentials, gid: int) -> bool:
    """True for the file-system group and the supplementary groups."""
    return cred.fsgid == gid or gid in cred.groups[0 : cred.ngroups]


def is_owner(cred: CCredentials, inode: CInode) -> bool:
    """Owner, or CAP_FOWNER: may change attributes."""
    return cred.fsuid == inode.uid or is_capable(cred, CAP_FOWNER)


def check_permission(cred: CCredentials, inode: CInode, mask: int) -> None:
    """EACCES unless the mode bits or a capability allow all of MAY_*."""
    if lib.inode_permission(cred, inode, mask) < 0:
        raise EACCES(f"mode {inode.mode:o} of {inode.uid}:{inode.gid}, wanted {mask}")


def check_writable(sb: CSuperblock) -> None:
    """EROFS on a read-only mount. Linux asks this before it looks at the file (mnt_want_write)."""
    if sb.flags & lib.SB_RDONLY:
        raise EROFS("read-only mount")


def check_may_create(cred: CCredentials, directory: CDentry) -> None:
    """A new name in this directory. ENOENT: it was removed."""
    if directory.flags & lib.DENTRY_UNHASHED:
        raise ENOENT("directory was removed")
    check_permission(cred, directory.inode, MAY_WRITE | MAY_EXEC)


def check_may_delete(cred: CCredentials, directory: CDentry, victim: CDentry, wants_directory: bool) -> None:
    """Taking a name away, by unlink, rmdir or rename."""
    check_permission(cred, directory.inode, MAY_WRITE | MAY_EXEC)
    inode = victim.inode
    if (
        directory.inode.mode & S_ISVTX
        and cred.fsuid not in (inode.uid, directory.inode.uid)
        and not is_capable(cred, CAP_FOWNER)
    ):
        raise EPERM("sticky directory")
    if wants_directory:
        if not is_directory(inode.mode):
            raise ENOTDIR("not a directory")
        if victim.parent == victim:
            raise EBUSY("root of a mount")
    elif is_directory(inode.mode):
        raise EISDIR("a directory")
    if directory.flags & lib.DENTRY_UNHASHED:
        raise ENOENT("directory was removed")


def check_may_link(cred: CCredentials, inode: CInode) -> None:
    """fs.protected_hardlinks = 1, may_linkat(): others' files only if they could be written anyway."""
    if is_owner(cred, inode):
        return
    is_set_group_id = inode.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
    is_special = inode.mode & S_IFMT != S_IFREG or inode.mode & S_ISUID or is_set_group_id
    if is_special or lib.inode_permission(cred, inode, MAY_READ | MAY_WRITE) < 0:
        raise EPERM("protected_hardlinks")


def new_owner(cred: CCredentials, directory: CInode, asked: int, umask: int = 0) -> tuple[int, int, int]:
    """(mode, uid, gid) of something made in a directory; `asked` with its type: inode_init_owner().

    Set-group-id is judged before the umask: mode_strip_sgid()."""
    gid = cred.fsgid
    mode = asked & ~umask
    if directory.mode & S_ISGID:
        gid = directory.gid
        if mode & S_IFMT == S_IFDIR:
            mode |= S_ISGID
        elif asked & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP and not _may_keep_group_id(cred, gid):
            mode &= ~S_ISGID
    return mode, cred.fsuid, gid


def _may_keep_group_id(cred: CCredentials, gid: int) -> bool:
    return is_in_group(cred, gid) or is_capable(cred, CAP_FSETID)


def mode_after_chmod(cred: CCredentials, inode: CInode, mode: int) -> int:
    """The permission bits that chmod sets: set-group-id is lost where the group is foreign, a directory's too."""
    if mode & S_ISGID and not _may_keep_group_id(cred, inode.gid):
        mode &= ~S_ISGID
    return mode & 0o7777


def mode_after_chown(cred: CCredentials, inode: CInode) -> int:
    """What chown leaves of a file's mode, even for root: setattr_should_drop_suidgid()."""
    mode = mode_without_set_id(inode.mode)
    return mode if _may_keep_group_id(cred, inode.gid) else mode & ~S_ISGID


def mode_without_set_id(mode: int) -> int:
    """What a write or chown leaves: set-group-id without group execution means mandatory locking, and stays."""
    mode &= ~S_ISUID
    if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP:
        mode &= ~S_ISGID
    return mode


def drop_set_id(cred: CCredentials, inode: CInode) -> None:
    """Content changes: the file's capabilities go, and the set-id bits unless by CAP_FSETID: file_remove_privs()."""
    inode.flags &= ~lib.INODE_FILE_CAPS
    if inode.mode & (S_ISUID | S_ISGID) and not is_capable(cred, CAP_FSETID):
        inode.mode = mode_without_set_id(inode.mode)


def may_search_by_handle(cred: CCredentials) -> bool:
    """linkat(AT_EMPTY_PATH): CAP_DAC_READ_SEARCH."""
    return is_capable(cred, CAP_DAC_READ_SEARCH)
