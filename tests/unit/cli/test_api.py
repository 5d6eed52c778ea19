"""`import pysentry; pysentry.run([...])`."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pysentry


def test_a_run() -> None:
    result = pysentry.run(["sh", "-c", "cat; echo $A; exit 4"], input=b"in ", env={"A": "b"}, stdout=subprocess.PIPE)
    assert (result.status, result.stdout, result.stderr) == (4, b"in b\n", None)
    assert result.report["exit_status"] == 4
    assert result.report["internal_errors"] == 0


def test_options(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    tmp_path.chmod(0o755)  # uid 1234 is somebody else inside, too
    result = pysentry.run(
        ["sh", "-c", "cat /mnt/file; id -u; hostname; pwd; test -d /scratch"],
        binds=[(str(tmp_path), "/mnt", "ro")],
        tmpfs=["/scratch"],
        user="1234",
        hostname="box",
        cwd="/etc",
        timeout_s=30.5,
        pids=50,
        net="none",
        platform="auto",
        fast_path=False,
        stdout=subprocess.PIPE,
    )
    assert (result.status, result.stdout) == (0, b"content1234\nbox\n/etc\n")


def test_changes(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    script = "printf 1 > 'a\n\\'; rm b"
    (tmp_path / "b").write_text("b")
    result = pysentry.run(["sh", "-c", script], cwd=str(tmp_path), changes=True, export=tmp_path / "layer.tar")
    place = str(tmp_path)
    assert result.status == 0
    below = [change for change in result.changes if change[1] != place]  # it may be an overlay's root: that is not told
    assert sorted(below) == [("A", place + "/a\n\\"), ("D", place + "/b")]
    with tarfile.open(tmp_path / "layer.tar") as layer:
        assert {place[1:] + "/.wh.b", place[1:] + "/a\n\\"} <= set(layer.getnames())


def test_what_cannot_start() -> None:
    result = pysentry.run(["/no/such"], stderr=subprocess.PIPE)
    assert result.status == 127
    assert result.stderr == b"pysentry: /no/such: no such file or directory\n"


def test_importing_pysentry_is_cheap() -> None:
    program = "import sys; before = set(sys.modules); import pysentry; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2
