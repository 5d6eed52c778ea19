"""bench.compat.sources: what is found where, and what a status and an output mean."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.compat import calls
from bench.compat.case import FAIL, PASS, SKIP
from bench.compat.sources import SourceMissing, Wanted, cpython, enumerate_cases, guests, ltp, stress_ng

TABLE = """# a comment
abort01 abort01
fcntl14_64 fcntl14_64 -n 3
gone01 gone01
quoted01 prog 'a b' ; other
"""


def install(tmp_path: Path) -> Path:
    (tmp_path / "runtest").mkdir()
    (tmp_path / "testcases/bin").mkdir(parents=True)
    (tmp_path / "runtest/syscalls").write_text(TABLE)
    for name in ("abort01", "fcntl14_64", "prog"):
        (tmp_path / "testcases/bin" / name).touch()
    return tmp_path


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return install(tmp_path)


@pytest.fixture
def visible() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="compat-", dir="/var/tmp") as directory:
        yield install(Path(directory))


def test_below_tmp_no_sandbox_would_see_it(installed: Path) -> None:
    if installed.resolve().is_relative_to("/tmp"):
        with pytest.raises(FileNotFoundError, match="below /tmp"):
            ltp.cases(installed)


def test_ltp_s_lines_become_cases_where_the_program_is_there(visible: Path) -> None:
    found = {case.name: case for case in ltp.cases(visible)}
    assert list(found) == ["abort01", "fcntl14_64", "quoted01"]
    assert found["fcntl14_64"].syscalls == ("fcntl",)
    assert found["fcntl14_64"].argv[2] == "fcntl14_64 -n 3; exit $?"
    assert found["quoted01"].family == "other"
    assert found["abort01"].environment["LTPROOT"] == str(visible)


def test_a_source_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="--ltp DIR"):
        enumerate_cases(["ltp"], Wanted())
    with pytest.raises(SourceMissing, match=r"runtest/syscalls does not exist"):
        enumerate_cases(["ltp"], Wanted(ltp=tmp_path))
    with pytest.raises(SourceMissing, match="no source posix"):
        enumerate_cases(["posix"], Wanted())


@pytest.mark.parametrize(
    ("status", "output", "outcome", "cause"),
    [
        (0, "", PASS, ""),
        (32, "x.c:1: TCONF: no such device", SKIP, "no such device"),
        (1, "TFAIL  :  x.c:12: it is not", FAIL, "TFAIL: it is not"),
        (33, "TCONF: a\nTFAIL: b", FAIL, "TFAIL: b"),
        (2, "x.c:9: TBROK: open failed: ENOSYS (38)", FAIL, "TBROK: open failed: ENOSYS (38)"),
        (4, "", FAIL, "TWARN"),
        (134, "", FAIL, "signal 6"),
        (127, "not found", FAIL, "TFAIL"),
    ],
)
def test_ltp_s_status_is_a_set_of_bits(status: int, output: str, outcome: str, cause: str) -> None:
    verdict = ltp.judge(status, output)
    assert (verdict.outcome, verdict.cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("status", "output", "outcome", "cause"),
    [
        (0, "1 test OK.\nResult: SUCCESS", PASS, ""),
        (0, "test_x skipped -- needs root\n\n1 test skipped:\n    test_x", SKIP, "needs root"),
        (0, "1 test run no tests:\n    test_x", SKIP, "ran no tests"),
        (2, "FAIL: test_a (test.test_os.T.test_a)\nERROR: test_b (x)\nFAIL: test_a (y)", FAIL, "test_a, test_b"),
        (139, "Fatal Python error", FAIL, "signal 11"),
    ],
)
def test_regrtest_s_answers(status: int, output: str, outcome: str, cause: str) -> None:
    verdict = cpython.judge(status, output)
    assert (verdict.outcome, verdict.cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("status", "output", "outcome"),
    [
        (0, "stress-ng: info:  [7] successful run completed in 3.00s", PASS),
        (0, "stress-ng: info:  [7] apparmor stressor will be skipped, AppArmor is not enabled", SKIP),
        (4, "", SKIP),
        (1, "stress-ng: error: [9] No stress workers invoked (one or more were unsupported)", SKIP),
        (3, "", SKIP),
        (2, "stress-ng: fail:  [9] pipe: wrong data", FAIL),
        (137, "", FAIL),
    ],
)
def test_stress_ng_s_status(status: int, output: str, outcome: str) -> None:
    assert stress_ng.judge(status, output).outcome == outcome


def test_a_guest_must_say_ok() -> None:
    assert guests.judge(0, "ok 1 - a").outcome == PASS
    assert guests.judge(0, "").cause == "ended early"
    assert guests.judge(77, "# SKIP not as root").cause == "not as root"
    assert guests.judge(1, "# x.c:3: not true").outcome == FAIL


@pytest.mark.parametrize(
    ("test", "call"),
    [
        ("accept4_01", "accept4"),
        ("dup201", "dup2"),
        ("fcntl14_64", "fcntl"),
        ("wait401", "wait4"),
        ("waitpid07", "wait4"),
        ("openat201", "openat2"),
        ("sendfile09_64", "sendfile"),
        ("zzz01", ""),
    ],
)
def test_a_test_s_name_begins_with_its_call(test: str, call: str) -> None:
    assert calls.of_name(test) == call


def test_calls_are_found_in_source_text() -> None:
    text = "CHECK_OK(pipe2(ends, 0)); syscall(SYS_futex, 1); waitpid(1); my_open(2); stat (3)"
    assert calls.of_source(text) == ("futex", "pipe2", "stat", "wait4")
    assert calls.family_of("pipe2") == "pipe"
