"""The benchmark of verbs: what its targets say, and that its bundle is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.verbs import ROWS, write_bundle


@pytest.mark.parametrize(
    ("row", "medians", "verdict"),
    [
        ("life", {"pysentry": 80.0, "runsc": 100.0}, "yes"),
        ("life", {"pysentry": 81.0, "runsc": 100.0}, "NO"),
        ("state", {"pysentry": 60.0, "runc": 5.0}, "yes"),
        ("state", {"pysentry": 61.0, "runc": 5.0}, "NO"),
        ("state", {"pysentry": 89.0, "runc": 30.0}, "yes"),
        ("life", {"pysentry": 1.0}, ""),
        ("many", {"pysentry": 1.0, "runc": 1.0}, ""),
    ],
)
def test_targets(row: str, medians: dict[str, float], verdict: str) -> None:
    said = ROWS[row].judge(medians)
    assert said.endswith(verdict)
    assert bool(said) == bool(verdict)


def test_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", ["/bin/true"])
    document = json.loads((tmp_path / "b" / "config.json").read_text())
    assert document["process"]["args"] == ["/bin/true"]
    assert (tmp_path / "b" / document["root"]["path"] / "bin" / "true").is_symlink()
