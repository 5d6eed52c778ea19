"""The fuzz targets of tests/fuzz/native: building one with libFuzzer and the sanitizers, and its seeds.

Owns what each target is linked with, and the table of calls that calls.c takes its arguments from. Binaries are kept
like the guests', named by a hash of all that they are made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.call_programs import TABLE, Argument
from tests.harness.guest_programs import BINARIES
from tests.harness.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
TARGETS = Path(__file__).with_name("native")
SEEDS = TARGETS / "seeds"
COMPILER = "clang-14"
PACKAGES = (COMPILER, "libclang-rt-14-dev")
FLAGS = ["-std=gnu11", "-O1", "-gline-tables-only", "-fno-omit-frame-pointer", "-fno-strict-aliasing", "-fwrapv",
         "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wno-missing-field-initializers",
         "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip

_SERVER = [f"gofer/{name}.c" for name in ("server", "requests", "readdir", "open", "paths", "ids")]

_ENGINE = [f"engine/{name}.c" for name in ("files", "epoll_members", "memory")]


@dataclass(frozen=True)
class Target:
    """One program that is fuzzed."""

    name: str
    sources: tuple[str, ...]  # of native/, as patterns
    wrapped: tuple[str, ...]  # host calls that the target answers itself
    files: tuple[str, ...] = ()  # of TARGETS, besides its own


ALL = (
    Target("gofer_requests", (*_SERVER,), ("recv", "send", "sendmsg")),
    Target("gofer_answers", ("gofer/client.c",), ("sendmsg", "recvmsg")),
    Target(
        "calls",
        ("vfs/*.c", "fast/*.c", *_ENGINE, "gofer/client.c", *_SERVER),
        ("sendmsg", "recvmsg", "process_vm_readv", "process_vm_writev"),
        ("sandbox.c", "lying_gofer.c"),
    ),
)


def build(target: Target) -> Path:
    """Compiles it unless that was done before."""
    sources = [path for pattern in target.sources for path in sorted(NATIVE.glob(pattern))]
    sources += [TARGETS / name for name in (f"{target.name}.c", *target.files)]
    wraps = [f"-Wl,--wrap={name}" for name in target.wrapped]
    table = call_table()
    headers = [*NATIVE.glob("**/*.h"), *TARGETS.glob("*.h")]
    parts = [path.read_bytes() for path in [*sources, *sorted(headers)]]
    parts += [" ".join([*FLAGS, *wraps]).encode(), table.encode()]
    binary = BINARIES / f"fuzz-{target.name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}"
    BINARIES.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(BINARIES / f".fuzz-{target.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            with tempfile.TemporaryDirectory(dir=BINARIES) as name:
                work = Path(name)
                (work / "call_table.h").write_text(table)
                includes = [f"-I{path}" for path in (NATIVE, TARGETS, work)]
                command = [COMPILER, *FLAGS, *includes, *wraps, "-o", str(work / "made"), *map(str, sources)]
                environment = {**os.environ, "TMPDIR": name}
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment)
                assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
                os.rename(work / "made", binary)
    return binary


def write_seeds(target: Target, directory: Path) -> list[Path]:
    """A file for each line of the target's seeds: hexadecimal digits, `#` and what they are for."""
    written = []
    for number, line in enumerate((SEEDS / f"{target.name}.txt").read_text().splitlines()):
        digits = line.partition("#")[0].strip()
        if digits:
            path = directory / f"{number:04}"
            path.write_bytes(bytes.fromhex(digits))
            written.append(path)
    return written


# ---- the table of calls.c ----

_PLACES = {
    "msghdr": ("AT_MESSAGES", 56),
    "pollfd[]": ("AT_POLLED", 8),
    "fd_set": ("AT_SETS", 16),
    "timeval": ("AT_TIMES", 16),
    "timespec": ("AT_TIMES", 16),
    "timespec[2]": ("AT_TIMES", 16),
    "epoll_event": ("AT_EVENTS", 12),
    "sigset": ("AT_MASK", 0),
    "sigset_argpack": ("AT_MASK_ARGUMENT", 0),
    "off_t": ("AT_OFFSET", 0),
    "int32": ("AT_LENGTH", 0),
}
"""Where a pointer mostly leads, and how far the next such thing is."""


def call_table() -> str:
    """C: calls[], each row with a fast path and what its arguments may be."""
    numbers = re.findall(r"^PYSENTRY_FAST\((\d+), ", (NATIVE / "generated/syscall_table.h").read_text(), re.M)
    values, calls = [], []
    for row in TABLE.rows:
        if str(row.nr) not in numbers:
            continue
        arguments = []
        for number, argument in enumerate(row.args):
            choices, bits = _options(argument)
            options = [*choices, *bits]
            array = f"{row.name}_{number}"
            if options:
                words = ", ".join(f"{value & (1 << 64) - 1:#x}ull" for value in options)
                values.append(f"static const uint64_t {array}[] = {{{words}}};\n")
            arguments.append(_argument(argument, array))
        calls.append(
            f'    {{"{row.name}", fast_{row.name}, {row.nr}, {len(row.args)}, {{{", ".join(arguments) or "{0}"}}}}},\n'
        )
    return "".join(values) + "static const struct call calls[] = {\n" + "".join(calls) + "};\n"


def _options(argument: Argument) -> tuple[list[int], list[int]]:
    """Values of which one applies, and those that may be or-ed in."""
    one, any_of = (TABLE.constants.members(names) for names in (argument.choices, argument.bits_named))
    return [value for _, value in one], [value for _, value in any_of]


def _argument(argument: Argument, array: str) -> str:
    """The initializer of a struct argument."""
    word = argument.text.partition("[")[0]
    choices, bits = _options(argument)
    if choices or bits:
        return f"{{.kind = FLAGS, .n_choices = {len(choices)}, .n_bits = {len(bits)}, .values = {array}}}"
    if word in ("fd", "dirfd", "path"):
        return f"{{.kind = {word.upper()}}}"
    if argument.direction:
        place, step = ("AT_VECTORS", 16) if word == "iovec" else _PLACES.get(argument.points_to, ("AT_BUFFER", 64))
        return f"{{.kind = MEMORY, .at = {place}, .step = {step}}}"
    return "{.kind = NUMBER}"
