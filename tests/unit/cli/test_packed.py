"""The module pack: a cache that is used when it is fresh, and never otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pysentry.cli import pack
from pysentry.cli.packed import path_for

SHOW = (
    "import sys; sys.path.insert(0, sys.argv[1]); sys.path.append(sys.argv[2])\n"
    "from pysentry.cli import packed; del sys.modules['pysentry'], sys.modules['pysentry.cli']\n"
    "packed.install(sys.argv[1])\n"
    "import pysentry, pysentry.room.thing as thing\n"
    "print(type(thing.__loader__).__name__, thing.VALUE, thing.__file__, thing.show.__doc__, pysentry.__path__)\n"
)
SOURCES = Path(pack.__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pysentry/room", "gofer"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "pysentry/__init__.py").touch()
    (tmp_path / "pysentry/room/thing.py").write_text('"""Doc."""\nVALUE = 1\ndef show():\n    """Doc."""\n')
    return tmp_path


def shown(folder: Path) -> list[str]:
    """(loader, VALUE, file, docstring, path) as a fresh interpreter imports it."""
    (folder / "pysentry/cli").mkdir(exist_ok=True)
    for name in ("__init__.py", "packed.py"):
        (folder / "pysentry/cli" / name).write_bytes((SOURCES / "pysentry/cli" / name).read_bytes())
    command = [sys.executable, "-c", SHOW, str(folder), str(SOURCES)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_fresh_pack_is_used(folder: Path) -> None:
    pack.write(folder)
    assert shown(folder) == ["Pack", "1", f"{folder}/pysentry/room/thing.py", "None", f"['{folder}/pysentry']"]


def test_without_a_pack(folder: Path) -> None:
    assert shown(folder)[:2] == ["SourceFileLoader", "1"]


def test_an_edited_module_is_not_taken_from_the_pack(folder: Path) -> None:
    pack.write(folder)
    (folder / "pysentry/room/thing.py").write_text("VALUE = 22\ndef show(): ...\n")
    assert shown(folder)[:2] == ["SourceFileLoader", "22"]


def test_a_touched_module_is_not_taken_from_the_pack(folder: Path) -> None:
    pack.write(folder)
    os.utime(folder / "pysentry/room/thing.py", (1, 1))
    assert shown(folder)[0] == "SourceFileLoader"


def test_an_installed_pack_does_not_compare(folder: Path) -> None:
    pack.write(folder, is_compared=False)
    os.utime(folder / "pysentry/room/thing.py", (1, 1))
    assert shown(folder)[0] == "Pack"


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x05\x00\x00\x00i\x01\x00\x00\x00"])
def test_a_broken_pack_is_none(folder: Path, content: bytes) -> None:
    pack.write(folder)
    Path(path_for(str(folder))).write_bytes(content)
    assert shown(folder)[:2] == ["SourceFileLoader", "1"]
