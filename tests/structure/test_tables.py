"""The syscall tables: complete, generated files up to date, and the filters do what the rows demand.

The filters are the checked-in arrays, run by the small interpreter of cBPF below and, once, by the kernel itself.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import importlib.util
import itertools
import os
import random
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "syscall_tables"
sys.path.insert(0, str(TABLES))

from generator import arg_types, bpf, conditions, rows  # noqa: E402

TABLE = rows.load(TABLES)
BY_NAME = {row.name: row for row in TABLE.rows}
UNKNOWN_NUMBERS = [*range(337, 424), *range(TABLE.rows[-1].nr + 1, 1100), 0x3FFF_FFFF, 0xFFFF_FFFF]

AUDIT_ARCH_X86_64 = 0xC000_003E
AUDIT_ARCH_I386 = 0x4000_0003
X32_SYSCALL_BIT = 0x4000_0000
M32, M64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
NO_ARGS = (0,) * 6

Program = list[tuple[int, int, int, int]]


def load_program(variant: str) -> Program:
    text = (ROOT / f"native/generated/filter_{variant}.h").read_text()
    found = re.findall(r"\{ 0x([0-9a-f]{2}), (\d+), (\d+), 0x([0-9a-f]{8}) \}", text)
    return [(int(code, 16), int(jt), int(jf), int(k, 16)) for code, jt, jf, k in found]


PROGRAMS = {variant: load_program(variant) for variant in ("notify", "ptrace")}


# ---- an interpreter of the cBPF that seccomp accepts ---------------------------------------------------------------


def run(program: Program, nr: int, args: tuple[int, ...] = NO_ARGS, arch: int = AUDIT_ARCH_X86_64) -> int:
    """The filter's return value for one call. ValueError for an instruction that has no place in our filters."""
    ip = 0x7FFF_F7C0_0000
    words = {0: nr & M32, 4: arch, 8: ip & M32, 12: ip >> 32}
    for index, arg in enumerate(args):
        words[16 + 8 * index] = arg & M32
        words[20 + 8 * index] = arg >> 32 & M32
    accumulator = 0
    at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        match code:
            case 0x20:  # ld [k]
                accumulator = words[k]
            case 0x54:  # and #k
                accumulator &= k
            case 0x05:  # ja
                at += k
            case 0x15:  # jeq
                at += jt if accumulator == k else jf
            case 0x25:  # jgt
                at += jt if accumulator > k else jf
            case 0x35:  # jge
                at += jt if accumulator >= k else jf
            case 0x06:  # ret #k
                return k
            case _:
                raise ValueError(f"instruction {code:#x} at {at - 1}")


def returned(verdict: str, variant: str) -> int:
    """A row's verdict as the value that a filter returns."""
    trap = 0x7FC0_0000 if variant == "notify" else 0x7FF0_0001
    fixed = {"ALLOW": 0x7FFF_0000, "TRAP": trap, "TRACE": 0x7FF0_0002, "KILL": 0x8000_0000}
    return fixed[verdict] if verdict in fixed else 0x0005_0000 | getattr(errno, verdict)


def interesting_args(row: rows.Row) -> Iterator[tuple[int, ...]]:
    """Registers around everything the row's conditions look at, and some that they must not look at."""
    yield NO_ARGS
    yield (M64,) * 6
    values: dict[int, set[int]] = {}
    for clause in itertools.chain.from_iterable(row.allow):
        flips = [1 << bit for bit in range(64)]
        around = {clause.value, clause.value ^ M64, clause.value + 1 & M64, clause.value - 1 & M64}
        values.setdefault(clause.index, set()).update(around | {clause.value ^ flip for flip in flips})
    for index, candidates in values.items():
        for value in candidates:
            for rest in (0, M64):
                args = [rest] * 6
                args[index] = value
                yield tuple(args)
    for pair in itertools.islice(itertools.product(*(sorted(c) for c in values.values())), 20_000):
        args = [0] * 6
        for index, value in zip(values, pair, strict=True):
            args[index] = value
        yield tuple(args)
    source = random.Random(row.nr)
    for _ in range(50):
        yield tuple(source.choice((source.getrandbits(64), source.getrandbits(8))) for _ in range(6))


# ---- the filters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", PROGRAMS)
def test_filter_gives_each_call_its_rows_verdict(variant: str) -> None:
    program = PROGRAMS[variant]
    for row in TABLE.rows:
        for args in interesting_args(row):
            expected = returned(row.verdict(args), variant)
            assert run(program, row.nr, args) == expected, (row.name, [hex(arg) for arg in args])


# Written out by hand: what must hold whatever the rows and their parser say.
BY_HAND = [
    ("mmap", (0, 4096, 3, 0x22, M64, 0), "ALLOW"),  # MAP_PRIVATE|MAP_ANONYMOUS, fd -1
    ("mmap", (0, 4096, 3, 0x02, 3, 0), "TRAP"),  # a file
    ("mmap", (0, 4096, 3, 0x40022, M64, 0), "TRAP"),  # huge pages
    ("clone", (0x0120_0011, 0, 0, 0, 0, 0), "ALLOW"),  # glibc's fork
    ("clone", (0x003D_0F00, 0, 0, 0, 0, 0), "ALLOW"),  # glibc's thread
    ("clone", (0x4111, 0, 0, 0, 0, 0), "ALLOW"),  # posix_spawn: CLONE_VM|CLONE_VFORK|SIGCHLD
    ("clone", (0x0080_0011, 0, 0, 0, 0, 0), "TRAP"),  # CLONE_UNTRACED
    ("clone", (0x1000_0011, 0, 0, 0, 0, 0), "TRAP"),  # CLONE_NEWUSER
    ("clone", (0x0000_8011, 0, 0, 0, 0, 0), "TRAP"),  # CLONE_PARENT
    ("clone", (0x0000_1011, 0, 0, 0, 0, 0), "TRAP"),  # CLONE_PIDFD
    ("clone", (0xFFFF_FFFF_0080_0011, 0, 0, 0, 0, 0), "TRAP"),
    ("clone3", NO_ARGS, "ENOSYS"),
    ("futex", (0, 0x80, 0, 0, 0, 0), "ALLOW"),  # FUTEX_WAIT_PRIVATE
    ("futex", (0, 0x189, 0, 0, 0, 0), "ALLOW"),  # FUTEX_WAIT_BITSET_PRIVATE|CLOCK_REALTIME
    ("futex", (0, 0x86, 0, 0, 0, 0), "ENOSYS"),  # FUTEX_LOCK_PI_PRIVATE
    ("futex", (0, 13, 0, 0, 0, 0), "ENOSYS"),  # FUTEX_LOCK_PI2
    ("futex", (0, 0xDEAD_BEEF_0000_0001, 0, 0, 0, 0), "ALLOW"),  # `int op`: the kernel looks at 32 bits
    ("arch_prctl", (0x1002, 0, 0, 0, 0, 0), "ALLOW"),  # ARCH_SET_FS
    ("arch_prctl", (0x3001, 0, 0, 0, 0, 0), "EINVAL"),  # ARCH_CET_STATUS, asked by every glibc start-up
    ("arch_prctl", (0x1012, 0, 0, 0, 0, 0), "EINVAL"),  # ARCH_SET_CPUID
    ("setitimer", (0, 1, 1, 0, 0, 0), "TRAP"),  # ITIMER_REAL
    ("setitimer", (2, 1, 1, 0, 0, 0), "ALLOW"),  # ITIMER_PROF
    ("waitid", (1, 5, 0, 4, 0, 0), "TRAP"),
    ("clock_gettime", (1, 0, 0, 0, 0, 0), "ALLOW"),
    ("clock_gettime", (0xFFFF_FFFB, 0, 0, 0, 0, 0), "TRAP"),  # a descriptor's clock: ((~0 << 3) | 3)
    ("sched_setaffinity", (0, 8, 0, 0, 0, 0), "ALLOW"),
    ("sched_setaffinity", (1, 8, 0, 0, 0, 0), "TRAP"),
    ("setpriority", (0, 0, 5, 0, 0, 0), "ALLOW"),
    ("setpriority", (2, 0, 5, 0, 0, 0), "TRAP"),  # PRIO_USER
    ("get_robust_list", (1, 0, 0, 0, 0, 0), "TRAP"),
    ("madvise", (0, 4096, 12, 0, 0, 0), "EINVAL"),  # MADV_MERGEABLE
    ("madvise", (0, 4096, 4, 0, 0, 0), "ALLOW"),  # MADV_DONTNEED
    ("seccomp", (1, 0, 0, 0, 0, 0), "TRAP"),  # whether it may is virtual
    *((name, NO_ARGS, "TRACE") for name in ("execve", "execveat", "kill", "tgkill", "rt_sigqueueinfo", "ptrace")),
    *((name, NO_ARGS, "TRAP") for name in ("read", "openat", "close", "ioctl", "socket", "prctl", "prlimit64")),
    *((name, NO_ARGS, "ALLOW") for name in ("getpid", "exit_group", "munmap", "rt_sigreturn", "fork", "vfork")),
    ("io_uring_setup", NO_ARGS, "ENOSYS"),
    ("bpf", NO_ARGS, "EPERM"),
    ("process_vm_readv", NO_ARGS, "TRAP"),
    ("userfaultfd", NO_ARGS, "EPERM"),
]


@pytest.mark.parametrize("variant", PROGRAMS)
@pytest.mark.parametrize(("name", "args", "verdict"), BY_HAND)
def test_filter_by_hand(variant: str, name: str, args: tuple[int, ...], verdict: str) -> None:
    assert run(PROGRAMS[variant], BY_NAME[name].nr, args) == returned(verdict, variant)


@pytest.mark.parametrize("variant", PROGRAMS)
def test_unknown_numbers_reach_the_sentry(variant: str) -> None:
    for nr in UNKNOWN_NUMBERS:
        assert run(PROGRAMS[variant], nr) == returned("TRAP", variant), nr


@pytest.mark.parametrize("variant", PROGRAMS)
def test_other_architectures_are_killed(variant: str) -> None:
    for nr in (*range(600), 0xFFFF_FFFF):
        assert run(PROGRAMS[variant], nr, arch=AUDIT_ARCH_I386) == returned("KILL", variant)
    for nr in range(600):
        assert run(PROGRAMS[variant], nr | X32_SYSCALL_BIT) == returned("KILL", variant)


@pytest.mark.parametrize("variant", PROGRAMS)
def test_filter_is_well_formed(variant: str) -> None:
    program = PROGRAMS[variant]
    assert 0 < len(program) <= 4096  # BPF_MAXINSNS
    for at, (code, jt, jf, k) in enumerate(program):
        if code == 0x05:
            assert at + 1 + k < len(program)
        elif code in (0x15, 0x25, 0x35):
            assert at + 1 + max(jt, jf) < len(program)
    assert program[-1][0] == 0x06
    allowed = {returned(v, variant) for v in ("ALLOW", "TRAP", "TRACE", "KILL")}
    assert {k for code, _, _, k in program if code == 0x06 and k >> 16 != 5} == allowed  # no marker is left


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child makes only a few calls and exits
def test_kernel_accepts_the_filter_and_agrees() -> None:
    """In a child without listener or tracer USER_NOTIF and TRACE answer ENOSYS; ERRNO and ALLOW do what they say."""
    calls = [("getpid", 0), ("bpf", errno.EPERM), ("getuid", errno.ENOSYS), ("kill", errno.ENOSYS)]
    calls += [("madvise", errno.EINVAL), ("perf_event_open", errno.EACCES)]
    args = {"madvise": (0, 4096, 12, 0, 0)}  # MADV_MERGEABLE
    packed = b"".join(struct.pack("<HBBI", *instruction) for instruction in PROGRAMS["notify"])
    array = ctypes.create_string_buffer(packed)
    program = struct.pack("<H6xQ", len(packed) // 8, ctypes.addressof(array))
    libc = ctypes.CDLL(None, use_errno=True)
    prctl, syscall = libc.prctl, libc.syscall
    child = os.fork()
    if child == 0:
        failed = 99
        if prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program) == 0:
            failed = 0
            for position, (name, expected) in enumerate(calls, 1):
                ctypes.set_errno(0)
                result = syscall(BY_NAME[name].nr, *args.get(name, (0, 0, 0, 0, 0)))
                if (result < 0) != bool(expected) or ctypes.get_errno() != expected:
                    failed = position
                    break
        os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- the rows -------------------------------------------------------------------------------------------------------


def test_every_number_has_exactly_one_row() -> None:
    numbers = rows.load_numbers(TABLES / "x86_64.tbl")
    assert {row.name: row.nr for row in TABLE.rows} == numbers
    assert set(numbers.values()) == {*range(337), *range(424, 470)}


def test_numbers_agree_with_the_kernel_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers")
    numbers = rows.load_numbers(TABLES / "x86_64.tbl")
    for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()):
        assert numbers.get(name) in (int(number), None), name
        assert name in numbers or int(number) > TABLE.rows[-1].nr


def test_host_calls_take_nothing_that_has_a_name() -> None:
    """DESIGN section 1: a descriptor or a path never reaches the host kernel without a condition that keeps it out."""
    named = {"fd", "dirfd", "path", "str", "sockaddr"}
    for row in TABLE.rows:
        if row.disposition == "host" and not row.allow:
            assert not [arg.name for arg in row.args if arg.kind in named], row.name


def test_notes_are_sentences() -> None:
    for row in TABLE.rows:
        assert row.support == "full" or row.note, row.name
        assert not row.note or (row.note.endswith(".") and "  " not in row.note), row.name


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_generate().main(["--check"]) == 0, capsys.readouterr().err


def load_generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", TABLES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD = {"args": ["fd: fd", "how: int"], "disposition": "python"}
HOST = {"disposition": "host", "why": "."}
BAD_ROWS = [
    ({"disposition": "host"}, "each needs one"),
    ({"why": "."}, "belongs to"),
    ({"disposition": "maybe"}, "unknown disposition"),
    ({"comment": "x"}, "unknown key"),
    ({"support": "partial"}, "needs a note"),
    ({"disposition": "error"}, "belong to"),
    ({"disposition": "error", "errno": "EWRONG", "support": "none", "note": "."}, "no errno"),
    ({"disposition": "error", "errno": "ENOSYS"}, "Linux itself"),
    ({"disposition": "error", "errno": "EPERM", "note": "."}, "Linux itself"),
    ({"disposition": "error", "errno": "ENOSYS", "support": "partial", "note": "."}, "Linux itself"),
    ({"errno": "EPERM"}, "belong to"),
    ({"support": "none", "note": "."}, "belong to"),
    ({"args": ["fd fd"]}, "is not 'name: type'"),
    ({"args": ["fd: file"]}, "unknown type"),
    ({"args": ["b: buf[out]"]}, "names? its size|name the argument"),
    ({"args": ["b: buf[out, size]"]}, "no argument"),
    ({"args": ["b: ptr[up, int]"]}, "direction"),
    ({"args": ["f: flags[O_NOPE]"]}, "unknown constant"),
    ({"args": ["a: int", "a: int"]}, "two of one name"),
    ({"allow_if": ["how == 1"], "else": "EINVAL"}, "host"),
    ({**HOST, "allow_if": ["how == 1"]}, "go together"),
    ({**HOST, "allow_if": ["who == 1"], "else": "python"}, "names no argument"),
    ({**HOST, "allow_if": ["how > 1"], "else": "python"}, "is not 'arg"),
    ({**HOST, "allow_if": ["how & 1 == 2"], "else": "python"}, "never be true"),
    ({**HOST, "allow_if": ["how & 0x100000000 == 0"], "else": "python"}, "ignores"),
    ({**HOST, "allow_if": ["how == 1"], "else": "EINVAL"}, "not 'full'"),
    ({**HOST, "allow_if": ["how == 1"], "else": "control"}, "tracer"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROWS)
def test_bad_rows_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(arg_types.RowError, match=message):
        rows.parse_row(1, "call", "family", {**GOOD, **change}, TABLE.constants)


def test_conditions_compare_only_what_the_kernel_reads() -> None:
    args = (arg_types.parse_argument("a: int"), arg_types.parse_argument("b: ulong"))
    (narrow,) = conditions.parse_alternative("a == -1", args, TABLE.constants)
    (wide,) = conditions.parse_alternative("b == -1", args, TABLE.constants)
    assert narrow.holds((0x1234_5678_FFFF_FFFF, 0))
    assert not narrow.holds((0xFFFF_FFFF_0000_0000, 0))
    assert wide.holds((0, M64))
    assert not wide.holds((0, M32))


def test_tail_handles_64_bit_inequality() -> None:
    args = (arg_types.parse_argument("a: ulong"), arg_types.parse_argument("b: int"))
    alternatives = tuple(
        conditions.parse_alternative(text, args, TABLE.constants)
        for text in ("a != 0x100000002 and b == 3", "a & 0xff00000000 == 0x500000000 and b != 9", "b == 7")
    )
    program: Program = [(i.code, i.jt, i.jf, i.k) for i in bpf.judge_arguments(alternatives, bpf.RET_ERRNO)]
    for a, b in itertools.product((0, 2, 1 << 32, 0x1_0000_0002, 0x5_0000_0000, 0x1_05_0000_0000, M64), (3, 7, 9, 0)):
        expected = bpf.RET_ALLOW if conditions.any_holds(alternatives, (a, b)) else bpf.RET_ERRNO
        assert run(program, 0, (a, b, 0, 0, 0, 0)) == expected, (hex(a), b)


def test_handlers_take_what_the_rows_say() -> None:
    """Every `@syscall` function is a row that can reach the sentry, and takes a task and the row's arguments."""
    for path in sorted((ROOT / "src/pysentry/syscalls").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(is_syscall, node.decorator_list)):
                assert node.name in BY_NAME, f"{path.name}: {node.name} has no row"
                row = BY_NAME[node.name]
                assert row.trapped, f"{path.name}: {node.name} never reaches the sentry: {row.disposition}"
                wanted = ["task", *(arg.name for arg in row.args)]
                assert len(node.args.args) == len(wanted), f"{path.name}: {node.name} takes {wanted}"


def is_syscall(decorator: ast.expr) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(function, ast.Name) and function.id == "syscall"


def test_fast_paths_have_fast_rows() -> None:
    for path in sorted((ROOT / "native").glob("*/*.c")):
        for name in re.findall(r"^int64_t fast_(\w+)\(", path.read_text(), re.MULTILINE):
            assert name in BY_NAME, f"{path.name}: fast_{name}"
            assert BY_NAME[name].trapped == "fast", f"{path.name}: fast_{name} is never called: its row is not fast"


# ---- the generated Python -------------------------------------------------------------------------------------------

C_TYPES = {
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "u16": ctypes.c_uint16,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
}


def load_generated(path: str) -> Any:
    """The generated file by itself: its package may need the native code."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "src/pysentry" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_decoders_cast_as_c_does() -> None:
    decode = load_generated("syscalls/_decoders.py").DECODERS
    assert set(decode) == {row.nr for row in TABLE.rows if row.trapped}
    source = random.Random(1)
    edges = (0, 1, 0x7FFF_FFFF, 0x8000_0000, M32, 1 << 32, 1 << 63, (1 << 63) - 1, M64, 0xFFFF, 0x1_0000)
    for row in TABLE.rows:
        for _ in range(30 if row.trapped else 0):
            raw = [source.choice((source.choice(edges), source.getrandbits(64))) for _ in range(6)]
            expected = tuple(C_TYPES[arg.cast](value).value for arg, value in zip(row.args, raw, strict=False))
            assert decode[row.nr](*raw) == expected, row.name


def test_numbers_and_dispositions() -> None:
    module = load_generated("abi/syscall_nr.py")
    for row in TABLE.rows:
        assert getattr(module, f"NR_{row.name.upper()}") == row.nr
    assert {row.nr: row.name for row in TABLE.rows} == module.NAMES
    assert {row.nr: row.disposition for row in TABLE.rows} == module.DISPOSITIONS
    assert {row.nr: row.trapped for row in TABLE.rows if row.trapped} == module.TRAPPED


def test_formats_name_every_argument() -> None:
    module = load_generated("trace/_formats.py")
    for row in TABLE.rows:
        name, _, args = module.FORMATS[row.nr]
        assert (name, [arg[0] for arg in args]) == (row.name, [arg.name for arg in row.args])
        assert module.CASTS[row.nr] == tuple(arg.cast for arg in row.args)
        for _, _, _, _, choices, bits in args:
            assert not {n for n, _ in choices} & {n for n, _ in bits}, row.name


def test_rows_for_people() -> None:
    printed = load_generated("abi/syscall_rows.py").ROWS
    assert [(nr, name, family) for nr, name, family, *_ in printed] == [(r.nr, r.name, r.family) for r in TABLE.rows]


def test_what_boot_imports_is_small() -> None:
    """Imported before the first exec: nothing but literals and functions, no imports at run time."""
    for path in ("syscalls/_decoders.py", "abi/syscall_nr.py"):
        text = (ROOT / "src/pysentry" / path).read_text()
        imports = re.findall(r"^(?:import|from) (\S+)", text, re.MULTILINE)
        assert imports == ["__future__"], path
        assert len(text) < 40_000, path
