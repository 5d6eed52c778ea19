"""sys: the few parts of sysfs that programs read (sys_root.py). Read only."""

from __future__ import annotations

import os

from pysentry.abi.stat import SYSFS_MAGIC
from pysentry.kernel.late import late
from pysentry.platform.native import lib
from pysentry.vfs.filesystems.generated import GeneratedFileSystem, LateDirectory


class SysFileSystem(GeneratedFileSystem):
    """The one instance of the sandbox."""

    type_name = "sysfs"
    magic = SYSFS_MAGIC


def make_sys(dev: int) -> SysFileSystem:
    """A new superblock."""
    flags = lib.SB_RDONLY | lib.SB_NOSUID | lib.SB_NODEV | lib.SB_NOEXEC
    count = os.cpu_count() or 1  # counted where the host's files still are in reach
    make = late("pysentry.vfs.filesystems.sys_root", "make_root")
    return SysFileSystem(lib.sb_new(lib.FS_SYS, flags, -1, dev), LateDirectory(lambda: make(count)))
