"""Which module of src/pysentry/syscalls handles which call: read from the handlers themselves.

The sentry imports a module when one of its calls is first made, so it must know without importing.
"""

from __future__ import annotations

import ast
from pathlib import Path

from .emit_python import HEADER
from .rows import Table


def handlers_of(module: Path) -> list[str]:
    """Names of the calls that a module handles: its functions that carry @syscall or @syscall(...)."""
    found = []
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            if any(isinstance(one, ast.Name) and one.id == "syscall" for one in decorators):
                found.append(node.name.rstrip("_"))
    return found


def handler_modules(table: Table, folder: Path) -> str:
    """src/pysentry/syscalls/_modules.py"""
    numbers = {row.name: row.nr for row in table.rows}
    lines = []
    for module in sorted(folder.glob("*.py")):
        names = [] if module.name.startswith("_") else handlers_of(module)
        if names:
            members = ", ".join(str(nr) for nr in sorted(numbers[name] for name in names if name in numbers))
            lines.append(f'    "{module.stem}": ({members},),\n')
    return (
        f'{HEADER}"""The modules of handlers, and the calls each of them handles."""\n\n'
        "from __future__ import annotations\n\n"
        f"MODULES: dict[str, tuple[int, ...]] = {{\n{''.join(lines)}}}\n"
    )
