"""bench.compat.journal: what a result file says after whatever happened to its writer."""

from pathlib import Path

import pytest

from bench.compat.case import Result
from bench.compat.journal import Journal, read

FIRST = Result("ltp:a", "native", "pass", status=0, seconds=0.5)
SECOND = Result("ltp:a", "seccomp", "fail", "TFAIL: no", 1, 0.7, "TFAIL: no\n</script>", 2)


def write(path: Path, *results: Result) -> None:
    with Journal(path) as journal:
        journal.begin({"runtimes": {"native": "6.1"}})
        for result in results:
            journal.add(result)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "results.jsonl", FIRST, SECOND)
    saved = read(tmp_path / "results.jsonl")
    assert list(saved.results.values()) == [FIRST, SECOND]
    assert saved.sessions == [{"runtimes": {"native": "6.1"}}]


def test_a_session_without_results_leaves_no_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, FIRST)
    with Journal(path) as journal:
        journal.begin({"runtimes": {"native": "6.2"}})
    assert read(path).versions("native") == "6.1"


@pytest.mark.parametrize("torn_bytes", [1, 20, 60])
def test_a_torn_last_line_is_dropped_and_the_file_goes_on(tmp_path: Path, torn_bytes: int) -> None:
    path = tmp_path / "results.jsonl"
    write(path, FIRST, SECOND)
    path.write_bytes(path.read_bytes()[:-torn_bytes])
    with Journal(path) as journal:
        assert set(journal.results) == {("ltp:a", "native")}
        journal.add(SECOND)
    assert list(read(path).results.values()) == [FIRST, SECOND]


def test_the_later_of_two_results_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    better = Result("ltp:a", "seccomp", "pass", status=0)
    write(path, FIRST, SECOND)
    with Journal(path) as journal:
        journal.forget([("ltp:a", "seccomp"), ("ltp:never", "seccomp")])
        assert ("ltp:a", "seccomp") not in journal.results
        journal.add(better)
    assert read(path).results["ltp:a", "seccomp"] == better


def test_a_file_that_is_no_result_file_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all,\nthis is no JSON.\n")
    with pytest.raises(ValueError, match=r"letter\.txt"), Journal(path):
        pass
    assert path.read_text().startswith("Dear all")
