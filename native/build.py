"""Builds pysentry._native: the engine, the vfs, the fast paths and the sandbox set-up, in cffi's API mode.

The headers that Python shares with C are given to cffi as they are. The exec stub is compiled first: a static binary
without a library, put into the extension as bytes.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import cffi

NATIVE = Path(__file__).resolve().parent if "__file__" in globals() else Path("native").resolve()
BUILD = NATIVE / "generated" / "build"
SHARED_HEADERS = ["sentry.h", "sandbox/sandbox.h", "stub/stub.h", "engine/python.h", "fast/python.h"]
HOOKS_HEADER = "engine/hooks.h"
SOURCE_DIRS = ["engine", "vfs", "fast", "sandbox"]
GOFER_CLIENT = ["gofer/client.c"]
CFLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-fno-strict-aliasing", "-fwrapv"]
# cffi's generated code, the void* arithmetic of kernel interfaces and Python's headers are not ours to mend.
CFLAGS += ["-Wno-missing-field-initializers", "-Wno-unused-parameter", "-Wno-error=attribute-warning"]


def shared(name: str) -> str:
    path = NATIVE / name
    return path.read_text() if path.exists() else ""


def build_stub() -> None:
    """Writes generated/build/stub_image.h: the linked stub as an array of bytes."""
    BUILD.mkdir(parents=True, exist_ok=True)
    address = re.search(r"#define STUB_ADDRESS (0x[0-9a-fA-F]+)", shared("stub/stub.h"))
    assert address, "stub.h has no STUB_ADDRESS"
    image = BUILD / "stub"
    subprocess.run(
        ["gcc", "-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
         "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns",
         "-fno-pic", "-mcmodel=large", "-mno-red-zone",
         "-nostdlib", "-static", "-no-pie", f"-Wl,-Ttext-segment={address.group(1)}", "-Wl,--build-id=none",
         "-Wl,-z,norelro", "-Wl,-z,noseparate-code", "-Wl,-z,noexecstack", "-s",
         "-o", str(image), str(NATIVE / "stub/stub.c")],
        check=True,
    )
    body = ",".join(str(byte) for byte in image.read_bytes())
    (BUILD / "stub_image.h").write_text(f"static const unsigned char stub_image[] = {{{body}}};\n")


def sources() -> list[str]:
    found = [path for folder in SOURCE_DIRS for path in sorted((NATIVE / folder).glob("*.c"))]
    return [str(path.relative_to(NATIVE.parent)) for path in found] + [f"native/{name}" for name in GOFER_CLIENT]


def includes() -> str:
    # engine.h brings sentry.h and python.h along.
    names = ["engine/engine.h", "sandbox/sandbox.h", "fast/python.h"]
    return "".join(f'#include "{name}"\n' for name in names if (NATIVE / name).exists())


HOOK_NAMES = {  # field of struct python_hooks: the Python function behind it
    "syscall": "sentry_syscall", "resume": "sentry_resume", "exec_begin": "sentry_exec_begin",
    "exec_load": "sentry_exec_load", "exec_done": "sentry_exec_done", "kill_check": "sentry_kill_check",
    "trace_check": "sentry_trace_check",
    "task_exit": "sentry_task_exit", "fd_closed": "sentry_fd_closed", "description_gone": "sentry_description_gone",
    "birth": "sentry_birth",
    "trace": "sentry_trace", "signals_changed": "sentry_signals_changed",
    "on_timer": "sentry_on_timer", "on_ready": "sentry_on_ready",
}  # fmt: skip

SET_HOOKS = """
extern void (*vfs_on_inode_gone)(uint64_t id);
static void sentry_inode_gone(uint64_t id);
%s
void engine_set_hooks(void)
{
%s    vfs_on_inode_gone = sentry_inode_gone;
}
"""


def set_hooks() -> str:
    """C that points the engine at the extern "Python" functions (they are static in cffi's module)."""
    declared = re.findall(r"^\s+(\w+)\s+\*?(sentry_\w+)(\(.*\));", shared(HOOKS_HEADER), re.M)
    ours = [row for row in declared if row[1] != "sentry_inode_gone"]
    prototypes = "".join(f"static {kind} {name}{args};\n" for kind, name, args in ours)
    assignments = "".join(f"    hooks.{field} = {name};\n" for field, name in HOOK_NAMES.items())
    return SET_HOOKS % (prototypes, assignments)


def make_ffi() -> cffi.FFI:
    build_stub()
    ffi = cffi.FFI()
    for name in SHARED_HEADERS:
        ffi.cdef(shared(name))
    ffi.cdef("void engine_set_hooks(void);")
    ffi.cdef(shared(HOOKS_HEADER))
    ffi.set_source(
        "pysentry._native",
        includes() + set_hooks(),
        sources=sources(),
        include_dirs=["native", "native/generated/build"],
        extra_compile_args=CFLAGS,
        depends=[str(path.relative_to(NATIVE.parent)) for path in sorted(NATIVE.glob("**/*.h"))],
    )
    return ffi


ffibuilder = make_ffi()
