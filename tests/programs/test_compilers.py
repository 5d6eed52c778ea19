"""gcc and make, node, Go; and how binaries are linked."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.configuration import PROGRAMS
from tests.harness.guest_programs import build, names_of
from tests.harness.programs import SCRIPTS, Comparison, made_once, need

pytestmark = pytest.mark.configs(*PROGRAMS)


def test_gcc_and_make(both: Comparison) -> None:
    need("gcc", "gcc")
    need("make", "make")
    both.script("compile.sh")
    result = both.same(["bash", "compile.sh"])
    assert result.status == 0, result
    assert result.stdout.endswith("fails with 1 and names it\n")


def test_node(both: Comparison) -> None:
    node = need("node", "nodejs")
    both.script("node_main.js")
    result = both.same([node, "node_main.js"])
    assert result.status == 0, result
    assert result.stdout.startswith("workers 55 500500 5000050000\n")


def _build_go_program(directory: Path) -> None:
    environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-o", str(directory / "program"), str(SCRIPTS / "go_main.go")]
    subprocess.run(command, check=True, timeout=400, env=environment)


def test_go_binary(both: Comparison) -> None:
    need("go", "golang-go")
    program = made_once("go", _build_go_program) / "program"
    result = both.same([program])
    assert result.status == 5, result


@pytest.mark.parametrize("linking", ["dynamic", "no-pie", "static", "static-pie"])
def test_linking(both: Comparison, linking: str) -> None:
    result = both.same([build("eventfd", linking)])
    assert result.status == 0, result
    assert result.stdout.count("\nok ") == len(names_of("eventfd"))


def test_failing_exec_is_reported_through_posix_spawn(both: Comparison) -> None:
    binary = build("exec")
    for name in ("posix_spawn_reports", "vfork_then_failing_exec"):
        assert both.same([binary, name]).stdout == f"ok 1 - {name}\n"
