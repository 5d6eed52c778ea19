"""The documents say what the code says: lists of calls, links, counts, the example of CONTRIBUTING.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pysentry.abi.syscall_nr import NAMES
from pysentry.abi.syscall_rows import ROWS
from pysentry.cli import options
from pysentry.platform.native import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
HOST = {row[1] for row in ROWS if row[3].startswith("host")}


def section(document: str, title: str) -> str:
    text = (ROOT / document).read_text()
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def calls(text: str) -> set[str]:
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return set(re.findall(r"`([a-z][a-z0-9_]+)`", rows))


def test_the_host_rows_are_argued() -> None:
    text = section("SECURITY.md", "What the workload may make the host kernel do")
    assert calls(text) == HOST
    assert f"{len(HOST)} calls" in text
    assert f"in the {len(HOST)} calls" in (ROOT / "README.md").read_text()


def test_the_sentrys_own_list() -> None:
    allowed = set()
    number, verdict = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    index = 0
    while lib.sandbox_filter_rule(index, number, verdict) == 0:
        if verdict[0] != lib.SANDBOX_KILL:
            allowed.add(NAMES[number[0]])
        index += 1
    assert calls(section("SECURITY.md", "What the sentry may still ask of the host")) == allowed


def test_counts() -> None:
    assert f"each of the {len(ROWS)} x86-64" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    missing = []
    for name in re.findall(r"`((?:native|src|tests|syscall_tables|bench)/[\w./-]+\.(?:py|c|h|toml))`", text):
        if not (ROOT / name).exists():
            missing.append(name)
    assert not missing


def test_options_in_the_readme_exist() -> None:
    direct = (options.RUN, options.DOCTOR, options.INSTALL, options.SYSCALLS, options.GLOBAL)
    tables = [*direct, *(verb.options for verb in options.OCI.values())]
    known = {f"--{option.name}" for table in tables for option in table}
    used = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", (ROOT / "README.md").read_text())) - {"--help"}
    assert used <= known


def test_the_example_of_contributing_is_the_code() -> None:
    text = section("CONTRIBUTING.md", "Add a system call")
    row = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    function = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert row is not None
    assert function is not None
    assert row.group(1) in (ROOT / "syscall_tables/linux/pipe.toml").read_text()
    assert function.group(1) in (ROOT / "src/pysentry/syscalls/pipe.py").read_text()
    guest = (ROOT / "tests/guests/pipe.c").read_text()
    example = re.search(r"```c\n(.*?)    \.\.\.\n```", text, re.DOTALL)
    assert example is not None
    assert example.group(1) in guest
