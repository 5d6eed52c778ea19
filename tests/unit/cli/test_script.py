"""The console script that the build writes: it finds everything without `site`, and does not hear PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pysentry.cli import script


def test_it_starts_without_site_and_does_not_hear_the_environment(tmp_path: Path) -> None:
    (tmp_path / "pysentry").mkdir()
    (tmp_path / "pysentry/__init__.py").write_text("raise SystemExit(3)\n")
    command = tmp_path / "command"
    command.write_text("pip's\n")
    command.chmod(0o755)
    script.write(command)
    assert command.read_text().splitlines()[0].endswith(" -IS")
    done = subprocess.run(
        [command, "syscalls", "read"], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("  0  read")


def test_what_is_written_already_is_left_alone(tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text(script.text())
    before = command.stat().st_ino
    script.write(command)
    assert command.stat().st_ino == before


def test_an_interpreter_that_no_first_line_can_name_leaves_it_to_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "command"
    for python in ("/opt/with space/python3", "/" + 130 * "x"):
        command.write_text("pip's\n")
        text = script.TEMPLATE.format(python=python, ours="", others=[])
        monkeypatch.setattr(script, "text", lambda text=text: text)
        script.write(command)
        assert command.read_text() == "pip's\n"
