"""Other projects' test suites: where an install of one lies, and which of its tests are known to fail.

An install is named by an environment variable; nothing here fetches or builds one. What fails is in
tests/oci/block_lists, one TOML file for each suite, one table for each runtime, one line for each test with its reason.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

BLOCK_LISTS = Path(__file__).resolve().parents[1] / "oci" / "block_lists"


def install_path(variable: str) -> Path | None:
    """The directory that `variable` names, if it is set."""
    value = os.environ.get(variable)
    return Path(value).resolve() if value else None


def need_install(variable: str, what: str) -> Path:
    """Skips the test, saying what is missing, if `variable` is not set; a directory that is not there is an error."""
    path = install_path(variable)
    if path is None:
        pytest.skip(f"{variable}=DIR ({what}) is not set")
    assert path.is_dir(), f"{variable}: there is no directory {path}"
    return path


def judge(suite: str, runtime: str, outcomes: Mapping[str, str], failed: str = "fail") -> None:
    """Asserts that exactly the tests on the block list failed, among those that ran: {name: outcome}."""
    lists = tomllib.loads((BLOCK_LISTS / f"{suite}.toml").read_text())
    known: dict[str, str] = lists.get(runtime, {})
    new = [f"fails: {name}" for name, outcome in outcomes.items() if outcome == failed and name not in known]
    better = [
        f"does not fail any more, take its line out: {name}"
        for name, outcome in outcomes.items()
        if outcome != failed and name in known
    ]
    assert not new + better, "\n".join(new + better)
