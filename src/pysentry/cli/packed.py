"""Imports pysentry's modules from one file instead of a hundred.

A start spends half of its time finding, opening and reading .pyc files; the pack holds the code of all modules in one.
It is a cache like __pycache__ and has the same rules: a module whose source has another size or time than when the
pack was written, or another interpreter, is imported in the ordinary way. Written by pack.py at build time.

A verb needs a fifth of it, so modules are read one by one. A sentry has no files after the lock-up: it maps the whole,
as it has mapped its libraries, and with the same rule for who installs: files are replaced, not written over.
"""

from __future__ import annotations

import _frozen_importlib
import marshal
import posix
import sys
from _imp import _fix_co_filename  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

Entry = tuple[bool, int, int, int, int]
"""(is_package, source time in ns, source size, where its code starts after the index, size), sizes in bytes; time -1:
not to be compared. A pack is the size of the index in four bytes, the index marshalled, and the code of all modules."""

NAME = "__pycache__/modules.%s.pack"
WHOLE_FROM = "pysentry.sandbox.boot"
"""Who imports this becomes a sentry."""
ABOVE = ("pysentry.cli.", "pysentry.oci.")
"""Nothing in a running sentry imports these."""
_MOST_INDEX_BYTES = 1 << 20


def path_for(folder: str) -> str:
    """The pack of the packages below `folder`, for this interpreter."""
    return f"{folder}/pysentry/{NAME % sys.implementation.cache_tag}"


class Pack:
    """A finder and loader of the modules in one pack. Raises OSError and what a broken index raises."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = path_for(folder)
        self._stamp: tuple[int, int, int] | None = None
        self._whole: memoryview | None = None
        self._is_held = False
        head = self._read(0, 32768)
        self._codes_at = 4 + int.from_bytes(head[:4], "little")
        if len(head) < self._codes_at <= _MOST_INDEX_BYTES:
            head = self._read(0, self._codes_at)
        self._index: dict[str, Entry] = marshal.loads(head[4 : self._codes_at])
        if not isinstance(self._index, dict):
            raise ValueError("no index")

    def _open(self) -> int:
        """The file that was opened first: one that has replaced it meanwhile has another index. OSError."""
        fd = posix.open(self._path, posix.O_RDONLY | posix.O_CLOEXEC)
        status = posix.fstat(fd)
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._stamp is None:
            self._stamp = stamp
        elif stamp != self._stamp:
            posix.close(fd)
            raise OSError("the pack was written again")
        return fd

    def _read(self, start: int, size: int) -> bytes:
        """OSError."""
        fd = self._open()
        try:
            return posix.pread(fd, size, start)
        finally:
            posix.close(fd)

    def _map(self) -> memoryview:
        """OSError, ImportError."""
        from pysentry._native import ffi, lib

        fd = self._open()
        try:
            size = posix.fstat(fd).st_size
            address = lib.sandbox_map_file(fd, size)
        finally:
            posix.close(fd)
        if address == ffi.NULL:
            raise OSError("the pack cannot be mapped")
        return memoryview(ffi.buffer(address, size))

    def _code(self, entry: Entry) -> bytes | memoryview | None:
        """None: it cannot be read any more."""
        _, _, _, start, size = entry
        start += self._codes_at
        if self._whole is not None:
            return self._whole[start : start + size]
        try:
            return self._read(start, size)
        except OSError:
            return None

    def _take_whole(self) -> None:
        if self._whole is None and self._stamp is not None:
            try:
                self._whole = self._map()
            except (OSError, ImportError):
                pass

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self._index.get(name)
        if entry is None:
            return None
        if name == WHOLE_FROM:
            self._take_whole()
        is_package = entry[0]
        place = f"{self._folder}/{name.replace('.', '/')}"
        source = f"{place}/__init__.py" if is_package else f"{place}.py"
        if not self._is_held and not _is_fresh(source, entry):
            return None
        code = self._code(entry)
        if code is None:
            return None
        spec: ModuleSpec = _frozen_importlib.ModuleSpec(
            name,
            self,  # type: ignore[arg-type]
            origin=source,
            loader_state=code,
            is_package=is_package,
        )
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def hold(self) -> bool:
        """Before there are no files any more: what was not imported yet will come from here, however its sources
        change. False: something is not fresh, and nothing is held."""
        self._take_whole()
        self._is_held = self._whole is not None and all(
            _is_fresh(f"{self._folder}/{name.replace('.', '/')}.py", entry)
            for name, entry in self._index.items()
            if name not in sys.modules and not entry[0] and not name.startswith(ABOVE)
        )
        return self._is_held

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        code: CodeType = marshal.loads(spec.loader_state)
        spec.loader_state = None
        _fix_co_filename(code, spec.origin)
        exec(code, module.__dict__)


def _is_fresh(source: str, entry: Entry) -> bool:
    _, time_ns, size, _, _ = entry
    if time_ns < 0:
        return True
    try:
        status = posix.stat(source)
    except OSError:
        return False
    return status.st_mtime_ns == time_ns and status.st_size == size


def install(folder: str) -> None:
    """Uses the pack of the packages below `folder`, if there is a fresh one."""
    try:
        pack = Pack(folder)
    except (OSError, ValueError, EOFError, TypeError):
        return
    sys.meta_path.insert(0, pack)
