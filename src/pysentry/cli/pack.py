"""Writes the pack that packed.py reads: `python -m pysentry.cli.pack [FOLDER] [--installed]`, a step of the build.

Docstrings and annotations are left out, asserts are not. Run it again whenever a source changed: what is not fresh is
not used.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCES))  # also run as a file, while a wheel is built

from pysentry.cli.packed import Entry, path_for  # noqa: E402

PACKAGES = ("pysentry", "gofer")
# Nothing on the way to the first exec: not worth reading each time.
LEFT_OUT = (
    "pysentry.abi.syscall_rows",
    "pysentry.api",
    "pysentry.cli.command",
    "pysentry.cli.doctor",
    "pysentry.cli.install",
    "pysentry.cli.pack",  # and packed
    "pysentry.cli.syscalls",
    "pysentry.oci.install",
    "pysentry.platform.cdefs",
    "pysentry.trace.",
)


def write(folder: Path, is_compared: bool = True) -> Path:
    """Packs the packages below `folder`.

    is_compared: sources may be edited later, so their size and time are kept and compared (not in a wheel, where
    installing changes the times and nobody edits).
    """
    index: dict[str, Entry] = {}
    codes = b""
    for package in PACKAGES:
        for source in sorted((folder / package).rglob("*.py")):
            parts = source.relative_to(folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            if name.startswith(LEFT_OUT):
                continue
            status = source.stat()
            code = compile(_Lean().visit(ast.parse(source.read_text())), str(source), "exec", dont_inherit=True)
            time_ns = status.st_mtime_ns if is_compared else -1
            raw = marshal.dumps(code)
            index[name] = (is_package, time_ns, status.st_size, len(codes), len(raw))
            codes += raw
    path = Path(path_for(str(folder)))
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    head = marshal.dumps(index)
    partial.write_bytes(len(head).to_bytes(4, "little") + head + codes)
    partial.rename(path)
    return path


class _Lean(ast.NodeTransformer):
    """Leaves out what only readers and type checkers need: docstrings and annotations."""

    def _body(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", [])
        first = body[0] if body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = body[1:] or [ast.copy_location(ast.Pass(), first)]  # type: ignore[attr-defined]
        return node

    visit_Module = visit_ClassDef = _body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


if __name__ == "__main__":
    folders = [word for word in sys.argv[1:] if word != "--installed"]
    write(Path(folders[0]) if folders else SOURCES, is_compared="--installed" not in sys.argv)
