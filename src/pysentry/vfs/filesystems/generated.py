"""Files without storage: what proc and sys are made of.

A tree of nodes. A directory node finds its entries when asked; a file node makes its content when it is read from the
start, as Linux' seq_file does; a link node may lead to a place directly. Owns how nodes become dentries, inodes and
descriptions. What there is to see is in proc*.py and sys.py.
"""

from __future__ import annotations

from binascii import crc32

from pysentry.abi.errno import EACCES, EINVAL
from pysentry.abi.stat import S_IFDIR, S_IFLNK, S_IFREG, dirent_type
from pysentry.kernel.description import Description, new_description
from pysentry.platform.native import lib
from pysentry.vfs.dentry import add, attach_to_inode, attachment, find, is_positive, new_inode
from pysentry.vfs.filesystem import FileSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock

SEEK_SET, SEEK_CUR = 0, 1
_O_TRUNC = 0o1000


class Node:
    """Something with a name. `mode` includes the type."""

    __slots__ = ("mode",)

    def __init__(self, mode: int) -> None:
        self.mode = mode

    def owner(self) -> tuple[int, int]:
        """(uid, gid)."""
        return 0, 0

    def links(self) -> int:
        """st_nlink; 1 of a directory: how many others are below is not known (find(1) understands)."""
        return 1

    def is_valid(self) -> bool:
        """False once what it stands for is gone: the name is looked up anew."""
        return True

    def process(self) -> tuple[int, int] | None:
        """(pid, host pid) where pidfd_send_signal(2) takes it for a process."""
        return None


class Directory(Node):
    """A directory; subclasses find entries, this one has a fixed table of them."""

    __slots__ = ("entries",)

    def __init__(self, entries: Mapping[bytes, Node] | None = None, mode: int = 0o555) -> None:
        super().__init__(S_IFDIR | mode)
        self.entries = entries or {}

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        """The node of a name, or None."""
        return self.entries.get(name)

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        """(name, mode) of every entry; of the mode only the type matters."""
        return [(name, node.mode) for name, node in self.entries.items()]


class LateDirectory(Directory):
    """A directory that is made when somebody first looks into it: few programs do, and a start need not wait for it."""

    __slots__ = ("_directory", "_make")

    def __init__(self, make: Callable[[], Directory]) -> None:
        super().__init__()
        self._make = make
        self._directory: Directory | None = None

    def _made(self) -> Directory:
        if self._directory is None:
            self._directory = self._make()
        return self._directory

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        return self._made().lookup(task, name)

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        return self._made().list(task)


class File(Node):
    """A regular file. `content` makes all of its bytes; `store` takes what one write(2) brings, or refuses."""

    __slots__ = ("content", "store")

    def __init__(
        self, content: Callable[[], bytes], mode: int = 0o444, store: Callable[[Task, bytes], None] | None = None
    ) -> None:
        super().__init__(S_IFREG | mode)
        self.content = content
        self.store = store

    def open(self, task: Task, flags: int) -> CDescription:
        """A description of it, with one reference."""
        return describe(flags, GeneratedDescription, self)


class Link(Node):
    """A symbolic link with a fixed or computed target."""

    __slots__ = ("text",)

    def __init__(self, text: Callable[[Task | None], bytes]) -> None:
        super().__init__(S_IFLNK | 0o777)
        self.text = text

    def target(self, task: Task | None) -> bytes:
        """What readlink(2) says."""
        return self.text(task)

    def place(self, task: Task) -> CDentry | CDescription | None:
        """Where a walk goes without reading the text; None: an ordinary link."""
        return None


def constant(text: bytes) -> Callable[[], bytes]:
    """Content that never changes."""
    return lambda: text


# ---- descriptions --------------------------------------------------------------------------------------------------


class GeneratedDescription(Description):
    """An open generated file. It has no host descriptor: reads are slices of the content, which is made anew by every
    read from the start."""

    __slots__ = ("content", "file")
    keeps_state = True
    is_file_like = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.file: File
        self.content: bytes | None = None

    def host_read(self, size: int, offset: int | None) -> bytes:
        at = self.c.pos if offset is None else offset
        if not at or self.content is None:
            self.content = self.file.content()
        data = self.content[at : at + size]
        if offset is None:
            self.c.pos = at + len(data)
        return data

    def unread(self, count: int) -> None:
        self.c.pos -= count

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        if self.file.store is None:
            raise EINVAL("not to be written")
        self.file.store(task, data)
        self.content = None
        if offset is None:
            self.c.pos += len(data)
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        if whence not in (SEEK_SET, SEEK_CUR):
            raise EINVAL("its size is not known")
        at = offset if whence == SEEK_SET else self.c.pos + offset
        if not 0 <= at < 1 << 63:
            raise EINVAL("position out of range")
        self.c.pos = at
        return int(at)

    def truncate(self, task: Task, length: int) -> None:
        """Nothing to do: the content is not stored."""

    def sync(self, data_only: bool) -> None:
        raise EINVAL("nothing to write back")


def describe(flags: int, cls: type[GeneratedDescription], file: File) -> CDescription:
    """A description whose reads and writes come to `cls`."""
    made = new_description(lib.DESC_PYTHON, -1, flags & ~_O_TRUNC, cls)
    made.c.flags |= lib.DESC_NO_POLL | lib.DESC_PY_READ | lib.DESC_PY_WRITE
    assert isinstance(made, GeneratedDescription)
    made.file = file
    return made.c


# ---- the file system -----------------------------------------------------------------------------------------------


class GeneratedFileSystem(FileSystem):
    """A tree of nodes from `root` on."""

    def __init__(self, sb: CSuperblock, root: Directory) -> None:
        super().__init__(sb)
        lib.dentry_root(sb, self._inode(root, 1))

    def _inode(self, node: Node, number: int) -> CInode:
        inode = new_inode(self.sb, node.mode)
        inode.ino = number
        inode.flags |= lib.INODE_PYTHON
        _take_live(inode, node)
        attach_to_inode(inode, "node", node)
        return inode

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        found = find(directory, name)
        if found is not None:
            if is_positive(found):
                node: Node = attachment(found.inode, "node")
                if node.is_valid():
                    _take_live(found.inode, node)
                    return found
            lib.dentry_drop(found)
        parent: Directory = attachment(directory.inode, "node")
        made = parent.lookup(task, name) if parent.is_valid() else None
        if made is None:
            return None
        return add(directory, name, self._inode(made, _number(directory.inode.ino, name)))

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        node: Directory = attachment(directory.inode, "node")
        number = directory.inode.ino
        return [(name, _number(number, name), dirent_type(mode)) for name, mode in node.list(task)]

    def readlink(self, task: Task | None, inode: CInode) -> bytes:
        node = attachment(inode, "node")
        if not isinstance(node, Link):
            raise EINVAL("not a link")
        return node.target(task)

    def magic_link(self, task: Task, inode: CInode) -> CDentry | CDescription | None:
        node = attachment(inode, "node")
        return node.place(task) if isinstance(node, Link) else None

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        node = attachment(dentry.inode, "node")
        if not isinstance(node, File):
            raise EACCES("not a file")
        return node.open(task, flags)

    def refresh(
        self, task: Task, inode: CInode, dentry: CDentry | None = None, description: CDescription | None = None
    ) -> None:
        node: Node | None = attachment(inode, "node")
        if node is not None and node.is_valid():
            _take_live(inode, node)

    def truncate(self, dentry: CDentry, length: int) -> None:
        """Nothing to do: the content is not stored."""


def _take_live(inode: CInode, node: Node) -> None:
    """The attributes that change while a node exists."""
    inode.uid, inode.gid = node.owner()
    inode.nlink = node.links()


def _number(directory: int, name: bytes) -> int:
    """The inode number of an entry: the same for readdir and stat."""
    return crc32(name, directory & 0xFFFFFFFF) or 1
