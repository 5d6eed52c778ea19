"""What is imported before the first exec counts: neither side may pull in the slow modules."""

from __future__ import annotations

import subprocess
import sys

SLOW = {"typing", "re", "enum", "dataclasses", "inspect", "logging", "socket", "signal", "ctypes", "collections"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(output.split())


def test_the_server_imports_nothing_slow() -> None:
    modules = modules_after("import gofer.server")
    assert not modules & SLOW
    assert not [name for name in modules if name.startswith("pysentry")]


def test_the_client_needs_no_native_module_of_its_own() -> None:
    modules = modules_after("import gofer.client")
    assert not modules & (SLOW | {"gofer._native", "_cffi_backend"})
