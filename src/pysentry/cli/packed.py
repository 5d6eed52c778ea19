"""Imports pysentry's modules from one file instead of a hundred.

A start spends half of its time finding, opening and reading .pyc files; the pack holds the code of all modules in one.
It is a cache like __pycache__ and has the same rules: a module whose source has another size or time than when the
pack was written, or another interpreter, is imported in the ordinary way. Written by pack.py at build time.
"""

from __future__ import annotations

import _frozen_importlib
import marshal
import sys
from _imp import _fix_co_filename  # type: ignore[attr-defined]
from posix import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

Entry = tuple[bool, int, int, int, int]
"""(is_package, source time in ns, source size, where its code starts after the index, size), sizes in bytes; time -1:
not to be compared. A pack is the size of the index in four bytes, the index marshalled, and the code of all modules."""

NAME = "__pycache__/modules.%s.pack"


def path_for(folder: str) -> str:
    """The pack of the packages below `folder`, for this interpreter."""
    return f"{folder}/pysentry/{NAME % sys.implementation.cache_tag}"


class Pack:
    """A finder and loader of the modules in one pack."""

    def __init__(self, folder: str, index: dict[str, Entry], codes: memoryview) -> None:
        self._folder = folder
        self._index = index
        self._codes = codes
        self._is_held = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self._index.get(name)
        if entry is None:
            return None
        is_package = entry[0]
        place = f"{self._folder}/{name.replace('.', '/')}"
        source = f"{place}/__init__.py" if is_package else f"{place}.py"
        if not self._is_held and not _is_fresh(source, entry):
            return None
        spec: ModuleSpec = _frozen_importlib.ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def hold(self) -> bool:
        """Before there are no files any more: what was not imported yet will come from here, however its sources
        change. False: something is not fresh, and nothing is held."""
        self._is_held = all(
            _is_fresh(f"{self._folder}/{name.replace('.', '/')}.py", entry)
            for name, entry in self._index.items()
            if name not in sys.modules and not entry[0]
        )
        return self._is_held

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        _, _, _, start, size = self._index[spec.name]
        code: CodeType = marshal.loads(self._codes[start : start + size])
        _fix_co_filename(code, spec.origin)
        exec(code, module.__dict__)


def _is_fresh(source: str, entry: Entry) -> bool:
    _, time_ns, size, _, _ = entry
    if time_ns < 0:
        return True
    try:
        status = stat(source)
    except OSError:
        return False
    return status.st_mtime_ns == time_ns and status.st_size == size


def install(folder: str) -> None:
    """Uses the pack of the packages below `folder`, if there is a fresh one."""
    try:
        with open(path_for(folder), "rb") as file:
            whole = memoryview(file.read())
        codes_at = 4 + int.from_bytes(whole[:4], "little")
        index = marshal.loads(whole[4:codes_at])
    except (OSError, ValueError, EOFError, TypeError):
        return
    if isinstance(index, dict):
        sys.meta_path.insert(0, Pack(folder, index, whole[codes_at:]))
