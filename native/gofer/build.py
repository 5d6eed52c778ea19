"""Builds gofer._native: `ffibuilder` for setup.py, and in place when run as a program.

Run from the root of the repository: `python native/gofer/build.py [directory [compiler flags]]`, by default src/gofer.
"""

from __future__ import annotations

import os

from cffi import FFI

HERE = "native/gofer"
MODULES = ("server", "requests", "readdir", "open", "paths", "ids", "client", "setup", "view")
SOURCES = [f"{HERE}/{name}.c" for name in MODULES]
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wshadow"]
# The C that cffi generates has unused parameters and short initializers.
GENERATED_FLAGS = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def declarations(*headers: str) -> str:
    """The headers' text as cffi reads it: without the lines for the preprocessor, which hold nothing cffi needs."""
    root = os.path.dirname(os.path.abspath(__file__))
    lines: list[str] = []
    for header in headers:
        with open(os.path.join(root, header), encoding="utf-8") as file:
            lines += [line for line in file.read().splitlines() if not line.startswith("#")]
    return "\n".join(lines)


ffibuilder = FFI()
ffibuilder.cdef(declarations("protocol.h", "client.h", "setup.h", "view.h", "gofer.cdef.h"))
ffibuilder.set_source(
    "gofer._native",
    '#include "server.h"\n#include "client.h"\n#include "setup.h"\n#include "view.h"\n',
    sources=SOURCES,
    include_dirs=[HERE],
    depends=[f"{HERE}/{name}" for name in ("protocol.h", "client.h", "setup.h", "server.h", "view.h", "gofer.cdef.h")],
    extra_compile_args=[*FLAGS, *GENERATED_FLAGS],
)


def build_in_place(directory: str, more_flags: list[str]) -> None:
    """Compiles straight into `directory`, for a checkout that is not installed and for tests with sanitizers."""
    import subprocess
    import sysconfig

    os.makedirs("build", exist_ok=True)
    generated = "build/gofer_native.c"
    ffibuilder.emit_c_code(generated)
    include = sysconfig.get_paths()["include"]
    output = f"{directory}/_native.abi3.so"  # the name that setup.py gives it, so that the newer one counts
    command = ["cc", *FLAGS, *GENERATED_FLAGS, *more_flags, "-fPIC", "-shared", f"-I{include}", f"-I{HERE}"]
    subprocess.run([*command, generated, *SOURCES, "-o", output], check=True)


if __name__ == "__main__":
    import sys

    build_in_place(sys.argv[1] if len(sys.argv) > 1 else "src/gofer", sys.argv[2:])
