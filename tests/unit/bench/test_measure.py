"""bench.measure, bench.execute, bench.runtimes, bench.__main__: what is an error and what is not; no timing asserted.

Runtimes here are shell scripts, so that each can be wrong in its own way.
"""

import os
import time
from pathlib import Path

import pytest

from bench.__main__ import exit_status, parse_options
from bench.execute import describe_status, execute
from bench.fixtures import NEEDLE, FixtureError, prepare, write_patterned_file, write_sources, write_tree
from bench.idle_memory import is_workload
from bench.measure import Cell, Settings, comparable, difference, measure_row, rotated
from bench.processes import Process, parent_pid, smaps_rollup_kib
from bench.rows import Kind, Row, select_rows
from bench.runtimes import Runtime, find_runtimes

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
SETTINGS = Settings(repetitions=2, row_budget_s=10.0, run_timeout_s=20.0, environment=ENVIRONMENT)
ECHO = Row("echo", "echo", Kind.WALL, ("/bin/echo", "hello"))
NONE = Runtime("none", (), "")


def _script(path: Path, name: str, body: str) -> Runtime:
    program = path / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Runtime(name, (str(program),), "")


def test_a_runtime_that_does_the_same_gets_a_sample_per_repetition(tmp_path: Path) -> None:
    cells = measure_row(ECHO, [NONE, _script(tmp_path, "good", 'exec "$@"')], SETTINGS)
    assert {name: sorted(cell.samples) for name, cell in cells.items()} == {"none": [0, 1], "good": [0, 1]}
    assert not any(cell.errors for cell in cells.values())


def test_other_output_is_an_error_and_not_measured(tmp_path: Path) -> None:
    cell = measure_row(ECHO, [_script(tmp_path, "liar", "echo goodbye")], SETTINGS)["liar"]
    assert cell.samples == {}
    assert "output differs" in cell.errors[0]
    assert "goodbye" in cell.errors[0]


def test_another_exit_status_is_an_error_with_its_message(tmp_path: Path) -> None:
    cell = measure_row(ECHO, [_script(tmp_path, "broken", "echo no good >&2; exit 3")], SETTINGS)["broken"]
    assert cell.errors == ["status 3: no good"]


def test_a_run_report_is_required_of_pysentry_and_its_internal_errors_count(tmp_path: Path) -> None:
    silent = _script(tmp_path, "pysentry", 'exec "$@"')
    assert "no usable run report" in measure_row(ECHO, [silent], SETTINGS)["pysentry"].errors[0]
    report = '{"calls": 40, "punts": 1, "internal_errors": %d, "exit_status": 0}'
    honest = f'test -z "$PYSENTRY_REPORT" || echo \'{report}\' >"$PYSENTRY_REPORT"; exec "$@"'
    cell = measure_row(ECHO, [_script(tmp_path, "pysentry", honest % 0)], SETTINGS)["pysentry"]
    assert cell.errors == []
    assert cell.call_counts is not None
    assert cell.call_counts.punts_share == pytest.approx(1 / 40)
    cell = measure_row(ECHO, [_script(tmp_path, "pysentry", honest % 2)], SETTINGS)["pysentry"]
    assert cell.errors == ["2 internal errors in the run report"]


def test_a_thrown_away_output_is_checked_by_another_command(tmp_path: Path) -> None:
    row = Row("cat", "cat", Kind.WALL, ("/bin/echo", "measured"), check_argv=("/bin/echo", "checked"))
    cell = measure_row(
        row, [_script(tmp_path, "half", 'echo "$@" | grep -q checked && exec "$@"; echo wrong')], SETTINGS
    )
    assert cell["half"].errors == []


def test_lines_may_come_in_another_order_only_where_the_row_says_so() -> None:
    unordered = Row("find", "find", Kind.WALL, ("find",), is_output_ordered=False)
    assert comparable(unordered, b"b\na\n") == comparable(unordered, b"a\nb\n")
    assert comparable(ECHO, b"b\na\n") != comparable(ECHO, b"a\nb\n")


def test_hot_loops_are_the_same_if_they_name_the_same_operation() -> None:
    row = Row("stat", "stat", Kind.MICRO, ("micro",))
    assert comparable(row, b'{"operation": "stat", "ns_per_op": 1}') == comparable(
        row, b'{"operation": "stat", "ns_per_op": 900}'
    )
    assert comparable(row, b"Segmentation fault") is None


def test_a_difference_names_lines_of_both_sides() -> None:
    assert difference(b"a\nb\n", b"b\nc\n") == "2 lines became 2; missing b'a', surplus b'c'"


def test_every_runtime_starts_a_repetition_in_turn() -> None:
    runtimes = [Runtime(name, (), "") for name in "abc"]
    orders = ["".join(runtime.name for runtime in rotated(runtimes, repetition)) for repetition in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]
    assert rotated([], 3) == []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_runs_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    run = execute(["/bin/sh", "-c", "sleep 100 & echo $!; wait"], ENVIRONMENT, timeout_s=0.5)
    assert run.status is None
    child = int(run.stdout)
    deadline = time.monotonic() + 60
    while _is_alive(child):  # it was killed, and dies when it gets a CPU
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_signal_is_128_plus_its_number() -> None:
    run = execute(["/bin/sh", "-c", "kill -TERM $$"], ENVIRONMENT, timeout_s=20.0)
    assert run.status == 143
    assert describe_status(run.status) == "status 143 (SIGTERM)"


def test_a_program_that_is_not_there_is_an_answer_not_an_exception() -> None:
    assert execute(["/nonexistent"], ENVIRONMENT, timeout_s=20.0).status == 127


def test_a_missing_runtime_says_how_to_get_it(tmp_path: Path) -> None:
    (proot,) = find_runtimes(["proot"], {"proot": "/nonexistent/proot"}, tmp_path, ENVIRONMENT, may_install=False)
    assert proot.missing is not None
    assert "apt-get install proot" in proot.missing


def test_the_first_form_that_works_is_used(tmp_path: Path) -> None:
    stub = _script(tmp_path, "runsc", 'case "$*" in *--ignore-cgroups*) exit 0;; *) echo no cgroup >&2; exit 1;; esac')
    (runsc,) = find_runtimes(["runsc"], {"runsc": stub.prefix[0]}, tmp_path, ENVIRONMENT, may_install=False)
    assert runsc.missing is None
    assert "--ignore-cgroups" in runsc.prefix
    assert "--rootless" not in runsc.prefix


def test_a_runtime_that_never_works_says_why(tmp_path: Path) -> None:
    stub = _script(tmp_path, "bwrap", "echo no namespaces >&2; exit 1")
    (bwrap,) = find_runtimes(["bwrap"], {"bwrap": stub.prefix[0]}, tmp_path, ENVIRONMENT, may_install=False)
    assert bwrap.missing == "/bin/true under it: status 1: no namespaces"


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such runtime: docker \(there are: .*pysentry"):
        find_runtimes(["docker"], {}, tmp_path, ENVIRONMENT, may_install=False)
    with pytest.raises(ValueError, match=r"no such row: sort \(there are: echo\)"):
        select_rows([ECHO], ["sort"])


def test_rows_keep_the_order_of_the_table() -> None:
    rows = [Row(name, name, Kind.WALL, ()) for name in "abc"]
    assert [row.name for row in select_rows(rows, ["c", "a"])] == ["a", "c"]
    assert select_rows(rows, None) == rows


def test_only_errors_and_a_missing_pysentry_fail_the_run() -> None:
    good, bad = {"true": {"none": Cell(samples={0: 1.0})}}, {"true": {"none": Cell(errors=["status 1"])}}
    assert exit_status([NONE], good) == 0
    assert exit_status([NONE], bad) == 1
    assert exit_status([Runtime("proot", (), "", missing="not there")], good) == 0
    assert exit_status([Runtime("pysentry", (), "", missing="not there")], good) == 1


@pytest.mark.parametrize("arguments", [["--repeat", "0"], ["--repeat", "x"], ["--program", "runsc"], ["--nonsense"]])
def test_bad_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parse_options(arguments)
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_workload_is_what_is_traced_or_runs_its_file() -> None:
    sentry = Process(1, "python3", "pysentry run", "/usr/bin/python3.11", tracer_pid=0)
    assert not is_workload(sentry, "sleep")
    assert is_workload(Process(2, "exe", "", "/usr/bin/runsc", tracer_pid=1), "sleep")
    assert is_workload(Process(3, "sleep", "sleep 4", "/usr/bin/sleep", tracer_pid=0), "sleep")


def test_proc_files_are_read_right() -> None:
    assert parent_pid("12 (a) b (c) S 7 12 12 0") == 7
    assert smaps_rollup_kib("00400000-7fff [rollup]\nRss:    100 kB\nPss:     64 kB\n") == 64
    with pytest.raises(ValueError, match="no Pss"):
        smaps_rollup_kib("")


def test_generated_files_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_tree(tmp_path / name / "tree", 120)
        write_sources(tmp_path / name / "sources")
        write_patterned_file(tmp_path / name / "data", 3_000_000)

    def content(name: str) -> dict[str, bytes]:
        base = tmp_path / name
        return {str(file.relative_to(base)): file.read_bytes() for file in base.rglob("*") if file.is_file()}

    first = content("first")
    assert first == content("second")
    assert len(first["data"]) == 3_000_000
    assert sum(1 for name in first if name.startswith("tree/")) == 120
    assert sum(NEEDLE.encode() in text for name, text in first.items() if name.startswith("tree/")) == 1


def test_a_cache_that_no_sandbox_would_see_is_refused() -> None:
    with pytest.raises(FixtureError, match="--cache"):
        prepare(Path("/tmp/cache-of-the-bench"), tree_files=1)
    assert not Path("/tmp/cache-of-the-bench").exists()


def test_the_generated_program_compiles_without_warnings(tmp_path: Path) -> None:
    write_sources(tmp_path / "sources")
    program = tmp_path / "program"
    sources = [str(path) for path in sorted((tmp_path / "sources").glob("*.c"))]
    command = ["/usr/bin/gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", str(program), *sources]
    if not os.access(command[0], os.X_OK):
        pytest.skip("no gcc")
    compiler = execute(command, ENVIRONMENT, timeout_s=60.0)
    assert compiler.status == 0, compiler.stderr_tail
    assert len(execute([str(program)], ENVIRONMENT, timeout_s=20.0).stdout) == 9
