"""File system contexts, fsopen(2) and fspick(2): what is to be mounted or changed, while it is being described."""

from __future__ import annotations

import os

from pysentry.abi.errno import EBUSY, EINVAL, ENODEV
from pysentry.kernel.description import Description, new_description
from pysentry.platform.native import lib
from pysentry.vfs.mounting import change_flags, makers
from pysentry.vfs.mounts import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.vfs.filesystem import FileSystem

# What every file system understands: vfs_parse_sb_flag() in Linux fs/fs_context.c.
_FLAGS_ON = {b"ro": lib.SB_RDONLY, b"sync": 0, b"dirsync": 0, b"lazytime": 0, b"mand": 0}
_FLAGS_OFF = {b"rw": lib.SB_RDONLY, b"async": 0, b"nolazytime": 0, b"nomand": 0}


class FsContext(Description):
    """One context. `picked`: the mount that fspick(2) chose; else `type_name` is what fsopen(2) named."""

    __slots__ = ("_made", "_options", "_sb_flags", "picked", "source", "type_name")
    keeps_state = True

    def __init__(self, c: object) -> None:
        super().__init__(c)  # type: ignore[arg-type]
        self.type_name = b""
        self.picked: Mount | None = None
        self.source: bytes | None = None
        self._sb_flags = 0
        self._options: list[bytes] = []
        self._made: FileSystem | None = None

    @staticmethod
    def open(type_name: bytes) -> FsContext:
        """fsopen(2). ENODEV: an unknown type."""
        if type_name not in makers:
            raise ENODEV(repr(type_name))
        made = _new()
        made.type_name = type_name
        return made

    @staticmethod
    def pick(mount: Mount) -> FsContext:
        """fspick(2)."""
        made = _new()
        made.picked = mount
        made._sb_flags = mount.sb.flags
        return made

    def set(self, key: bytes, value: bytes | None) -> None:
        """A parameter: FSCONFIG_SET_FLAG (None) or SET_STRING. EBUSY after FSCONFIG_CMD_CREATE."""
        if self._made is not None:
            raise EBUSY("made already")
        if key in _FLAGS_ON:
            self._sb_flags |= _FLAGS_ON[key]
        elif key in _FLAGS_OFF:
            self._sb_flags &= ~_FLAGS_OFF[key]
        elif not key:
            raise EINVAL("no key")
        elif key == b"source":
            if value is None or self.source is not None:
                raise EINVAL("source")
            self.source = value
        else:
            self._check_option(key if value is None else key + b"=" + value)

    def _check_option(self, option: bytes) -> None:
        """File systems judge their options when they are made: this one is made for that alone."""
        if self.picked is not None or b"," in option:
            raise EINVAL(repr(option))
        makers[self.type_name](0, option)
        self._options.append(option)

    def create(self) -> None:
        """FSCONFIG_CMD_CREATE."""
        if self._made is not None or self.picked is not None:
            raise EBUSY("made already")
        self._made = makers[self.type_name](self._sb_flags, b",".join(self._options))

    def reconfigure(self) -> None:
        """FSCONFIG_CMD_RECONFIGURE."""
        if self.picked is None:
            raise EBUSY("not picked")
        changed = self.picked.sb.flags & ~lib.SB_RDONLY | self._sb_flags & lib.SB_RDONLY
        change_flags(self.picked, changed, checks_writers=True)

    def take(self) -> FileSystem:
        """What was created, once: fsmount(2). EINVAL: nothing was; EBUSY: it is mounted already."""
        if self.picked is not None:
            raise EBUSY("picked")
        made, self._made = self._made, None
        if made is None:
            raise EINVAL("nothing was created")
        return made


def _new() -> FsContext:
    made = new_description(lib.DESC_PYTHON, -1, os.O_RDWR, FsContext)
    made.c.flags |= lib.DESC_NO_POLL | lib.DESC_PY_READ | lib.DESC_PY_WRITE
    assert isinstance(made, FsContext)
    return made
