"""Imports go one way (STYLE.md), and what runs before the first exec stays light.

cli, api -> oci -> sandbox -> platform, syscalls, trace -> kernel, vfs, net, loader -> abi
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"

LEVELS = {
    "abi": 0,
    "kernel": 1,
    "vfs": 1,
    "net": 1,
    "loader": 1,
    "platform": 2,
    "syscalls": 2,
    "trace": 2,
    "sandbox": 3,
    "oci": 4,
    "api": 5,
    "cli": 5,
}
# The cffi facade, its types and the registry hold no behaviour: everything above abi may use them.
FACADES = ("pysentry.platform.native", "pysentry.platform.cdefs", "pysentry._native", "pysentry.syscalls.registry")
# Exceptions, with the reason. A lazy import inside a function that hands over upwards belongs here too.
ALLOWED: dict[tuple[str, str], str] = {}


def modules() -> list[Path]:
    return sorted(SRC.glob("pysentry/**/*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, with_functions: bool = True) -> Iterator[tuple[str, int]]:
    """Modules imported at run time (nothing under `if TYPE_CHECKING`)."""
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            stack.extend(node.orelse)
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not with_functions:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        stack.extend(ast.iter_child_nodes(node))


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_imports_go_down() -> None:
    upwards = []
    for path in modules():
        importer = name_of(path)
        for module, line in imports(path):
            if not module.startswith("pysentry.") or module.startswith(FACADES) or room(module) not in LEVELS:
                continue
            is_down = LEVELS[room(module)] <= LEVELS.get(room(importer), 9)
            if not is_down and (room(importer), room(module)) not in ALLOWED:
                upwards.append(f"{path.relative_to(SRC)}:{line}: {importer} imports {module}")
    assert not upwards, "\n".join(upwards)


def test_the_gofer_imports_nothing_of_the_sentry() -> None:
    for path in SRC.glob("gofer/**/*.py"):
        assert not [module for module, _ in imports(path) if module.startswith("pysentry")], path


SLOW = {"re", "enum", "dataclasses", "inspect", "logging", "json", "argparse", "pathlib", "asyncio", "click", "ctypes"}
SLOW |= {"subprocess", "tempfile", "collections.namedtuple", "signal", "socket", "ptrace", "typing"}
# Reached by `run` only when asked for, or not at all.
NOT_ON_THE_WAY = (
    "pysentry.api",
    "pysentry.cli.pack",
    "pysentry.cli.script",
    "pysentry.trace",
    "pysentry.cli.command",
    "pysentry.cli.doctor",
    "pysentry.cli.install",
    "pysentry.cli.syscalls",
    "pysentry.oci.cgroups.dbus",  # where systemd makes the cgroup
    "pysentry.oci.install",
    "pysentry.platform.cdefs",  # types: imported for type checkers only
    "pysentry.sandbox.terminal",  # with a terminal
    "gofer.client",  # tests and tools; the sentry's client is C
)


def test_nothing_slow_is_imported_on_the_way_to_the_first_exec() -> None:
    """typing and re alone take 6 ms; see ARCHITECTURE.md, "Start-up"."""
    slow = [
        f"{path.relative_to(SRC)}:{line}: {module}"
        for path in [*modules(), *SRC.glob("gofer/**/*.py")]
        if not name_of(path).startswith(NOT_ON_THE_WAY)
        for module, line in imports(path, with_functions=False)
        if module in SLOW
    ]
    assert not slow, "\n".join(slow)


def test_nothing_of_the_oci_runtime_is_imported_by_run() -> None:
    """The way of `pysentry run` is entry, plain and run; a verb imports its part of oci when it is called."""
    way = {"pysentry", "pysentry.__main__", *(f"pysentry.cli{name}" for name in ("", ".entry", ".plain", ".run"))}
    found = [
        f"{path.relative_to(SRC)}:{line}: {module}"
        for path in modules()
        if name_of(path) in way or room(name_of(path)) in set(LEVELS) - {"api", "cli", "oci"}
        for module, line in imports(path, with_functions=False)
        if module.startswith("pysentry.oci")
    ]
    assert not found, "\n".join(found)


def test_the_standard_library_is_what_it_was() -> None:
    assert SLOW - {"click", "ptrace", "collections.namedtuple"} <= set(sys.stdlib_module_names)
