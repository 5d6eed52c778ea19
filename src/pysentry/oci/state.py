"""What is known about containers between two verbs: one directory each below --root, and what state they are in.

Owns ids, the lock (flock on the directory), state.json (replaced as a whole) and the derivation of the status. Does not
own how a container gets from one state to the next (lifecycle.py).

The id is taken by whoever writes state.json while holding the lock. `create` holds it until the container is created,
so what it could not finish is known by a dead creator; verbs that only look take no lock.
"""

from __future__ import annotations

import fcntl
import os

from pysentry.oci.errors import ContainerExistsError, InvalidIdError, NoSuchContainerError, OciError
from pysentry.oci.host_process import HostProcess
from pysentry.sandbox.host_user import is_in_user_namespace
from pysentry.sandbox.messages import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any

    from pysentry.sandbox.messages import Document

CREATING, CREATED, STARTING, RUNNING, PAUSED, STOPPED = (
    "creating",
    "created",
    "starting",
    "running",
    "paused",
    "stopped",
)
MOST_ID_LENGTH = 1024
ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
STATE, CONTROL, CONFIG = "state.json", "control.sock", "config.json"


def default_root() -> str:
    """Where containers are kept without --root. As runc, an unprivileged user's are below $XDG_RUNTIME_DIR, also
    where the user is root of a user namespace (rootless podman) and does not call itself root."""
    runtime_directory = os.environ.get("XDG_RUNTIME_DIR")
    is_root = os.geteuid() == 0 and (os.environ.get("USER") == "root" or not is_in_user_namespace())
    if is_root or not runtime_directory:
        return "/run/pysentry"
    return f"{runtime_directory}/pysentry"


def check_id(identity: str) -> str:
    """The id, if one directory below --root can have this name. Raises InvalidIdError."""
    if not 0 < len(identity) <= MOST_ID_LENGTH or not ID_LETTERS.issuperset(identity) or identity in (".", ".."):
        raise InvalidIdError(identity)
    return identity


class Record:
    """state.json, and what follows from it.

    stored: the last transition: creating, created, starting, running. is_paused: by the sentry, where no freezer is.
    sentry: pid 0 until it was forked; creator: `create` itself. created: RFC 3339. cgroup: as oci/cgroups wrote it
    down, {} without. hooks: config.json's, by kind. owner: a uid.
    """

    __slots__ = (
        "annotations",
        "bundle",
        "cgroup",
        "created",
        "creator",
        "hooks",
        "identity",
        "is_paused",
        "oci_version",
        "owner",
        "rootfs",
        "sentry",
        "stored",
    )

    def __init__(self, identity: str, creator: HostProcess) -> None:
        self.identity = identity
        self.creator = creator
        self.stored = CREATING
        self.is_paused = False
        self.sentry = HostProcess(0, 0)
        self.oci_version = ""
        self.bundle = ""
        self.rootfs = ""
        self.created = ""
        self.owner = os.geteuid()
        self.annotations: dict[str, str] = {}
        self.hooks: Document = {}
        self.cgroup: Document = {}

    def to_document(self) -> Document:
        document: Document = {name: getattr(self, name) for name in self.__slots__}
        for name in ("creator", "sentry"):
            process = getattr(self, name)
            document[name] = [process.pid, process.start]
        return document

    @classmethod
    def from_document(cls, document: Document) -> Record:
        values: dict[str, Any] = dict(document)
        for name in ("creator", "sentry"):
            values[name] = HostProcess(*values[name])
        record = cls.__new__(cls)
        for name in cls.__slots__:
            setattr(record, name, values[name])
        return record

    def hooks_of(self, kind: str) -> list[Document]:
        """In the order of config.json."""
        listed = self.hooks.get(kind)
        return listed if isinstance(listed, list) else []

    def for_hooks(self, status: str) -> Document:
        """The container's state as runtime-spec defines it."""
        document: Document = {
            "ociVersion": self.oci_version,
            "id": self.identity,
            "status": status,
            "bundle": self.bundle,
        }
        if status != STOPPED:
            document["pid"] = self.sentry.pid
        if self.annotations:
            document["annotations"] = self.annotations
        return document

    def status(self, has_started: Callable[[], bool], is_frozen: Callable[[], bool]) -> str:
        """creating, created, running, paused or stopped.

        has_started: asks the sentry whether pid 1's exec was let go; only when a `start` did not get to the end of its
        own. is_frozen: asks the cgroup.
        """
        if self.stored == CREATING:  # a creator that died left nothing that could ever be started
            return CREATING if self.creator.is_alive else STOPPED
        if not self.sentry.is_alive:
            return STOPPED
        if self.is_paused or is_frozen():
            return PAUSED
        if self.stored == STARTING:
            return RUNNING if has_started() else CREATED
        return self.stored


class Directory:
    """One container's directory, open. Locked when it came from Store.locked() or Store.claim()."""

    __slots__ = ("fd", "identity", "path")

    def __init__(self, identity: str, path: str, fd: int) -> None:
        self.identity = identity
        self.path = path
        self.fd = fd

    def __enter__(self) -> Directory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets the lock go, too."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def is_linked(self) -> bool:
        """False: somebody removed it while we waited for the lock, and maybe made another one of this name."""
        try:
            now = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        ours = os.fstat(self.fd)
        return (now.st_ino, now.st_dev) == (ours.st_ino, ours.st_dev)

    def read(self, name: str) -> bytes | None:
        """A file in it; None: there is none."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        with open(fd, "rb") as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file as a whole, or not at all. Only with the lock. Raises OSError, such as ENOSPC."""
        partial = f".{name}.new"
        fd = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd
        )
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.rename(partial, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def load(self) -> Record:
        """Raises NoSuchContainerError: nobody has taken the id."""
        data = self.read(STATE)
        if data is None:
            raise NoSuchContainerError
        try:
            document = decode(data.decode("utf-8"))
            if not isinstance(document, dict):
                raise ValueError("not an object")
            return Record.from_document(document)
        except (ValueError, KeyError, TypeError) as error:
            raise OciError(f"{self.path}/{STATE} cannot be read: {error}") from None

    def save(self, record: Record) -> None:
        """Raises OciError: the disk is full, for one."""
        try:
            self.write(STATE, encode(record.to_document()).encode("ascii"))
        except OSError as error:
            raise OciError(f"unable to save the state: write {self.path}/{STATE}: {error.strerror}") from None

    def remove(self) -> None:
        """The directory and what is in it, the state last: what is half removed can be deleted again."""
        for name in sorted(os.listdir(self.fd), key=lambda name: name == STATE):
            try:
                os.unlink(name, dir_fd=self.fd)
            except FileNotFoundError:
                pass
        os.rmdir(self.path)


class Store:
    """--root: all containers of one place."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = root

    def look(self, identity: str) -> Directory:
        """The directory, without the lock: to read. Raises NoSuchContainerError."""
        path = f"{self.root}/{check_id(identity)}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchContainerError from None
        except OSError as error:
            raise OciError(f"{path}: {error.strerror}") from None
        return Directory(identity, path, fd)

    def locked(self, identity: str) -> Directory:
        """The directory with the lock; waits for it. Raises NoSuchContainerError."""
        directory = self.look(identity)
        fcntl.flock(directory.fd, fcntl.LOCK_EX)
        if not directory.is_linked:
            directory.close()
            raise NoSuchContainerError
        return directory

    def claim(self, identity: str) -> Directory:
        """The directory of a new container, locked, without a state. Raises ContainerExistsError, and then the one that
        has the id was not touched."""
        path = f"{self.root}/{check_id(identity)}"
        while True:
            try:
                os.makedirs(self.root, 0o711, exist_ok=True)
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass  # of a `create` or `delete` that died, or of a container
            except OSError as error:
                raise OciError(f"mkdir {path}: {error.strerror}") from None
            try:
                directory = self.look(identity)
            except NoSuchContainerError:
                if os.path.lexists(path):
                    raise ContainerExistsError from None
                continue
            try:
                fcntl.flock(directory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                directory.close()
                raise ContainerExistsError from None
            if directory.read(STATE) is not None:
                directory.close()
                raise ContainerExistsError
            if directory.is_linked:
                return directory
            directory.close()

    def identities(self) -> Iterator[str]:
        """The ids that are taken, in order."""
        try:
            names = sorted(os.listdir(self.root))
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from (name for name in names if os.path.exists(f"{self.root}/{name}/{STATE}"))
