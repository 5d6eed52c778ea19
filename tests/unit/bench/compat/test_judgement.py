"""bench.compat.judgement, baseline, tally: what is a regression, what is known, what counts."""

import json
from pathlib import Path

import pytest

from bench.compat.baseline import BLOCK_LISTS, BadBlockList, Baseline, BlockList, load_block_lists
from bench.compat.case import Result
from bench.compat.judgement import judge
from bench.compat.runtimes import PYSENTRY
from bench.compat.tally import by_call, by_family, by_source, tally
from tests.unit.bench.compat.cases import HOST, SENTRY, case, results

CASES = [case(name) for name in "abcd"]
NOTHING = BlockList({})


def baseline(**outcomes: str) -> Baseline:
    return Baseline({}, {key: result.outcome for key, result in results(**outcomes).items()})


def test_a_pass_that_is_none_any_more_is_a_regression() -> None:
    now = results(a="pass fail", b="pass skip", c="pass pass", d="pass fail")
    said = judge(CASES, [HOST, SENTRY], now, baseline(a="pass pass", b="pass pass", c="pass fail"), NOTHING)
    assert [finding.key for finding in said.regressions] == ["ltp:a", "ltp:b"]
    assert [finding.key for finding in said.unlisted] == ["ltp:d"]
    assert said.exit_status == 1


def test_what_fails_natively_now_says_nothing_about_a_runtime() -> None:
    said = judge(CASES, [HOST, SENTRY], results(a="fail fail"), baseline(a="pass pass"), NOTHING)
    assert said.regressions == []
    assert said.exit_status == 0


def test_a_listed_failure_is_known_but_hides_no_regression() -> None:
    known = BlockList({"pysentry": {"ltp:a": "no mounts", "ltp:b": "no keys"}, "seccomp": {"ltp:c": "slow"}})
    now = results(a="pass fail", b="pass pass", c="pass fail")
    said = judge(CASES, [HOST, SENTRY], now, baseline(c="pass pass"), known)
    assert said.unlisted == []
    assert [(finding.key, finding.text) for finding in said.listed_but_pass] == [("ltp:b", "no keys")]
    assert [finding.key for finding in said.regressions] == ["ltp:c"]


def test_a_line_for_a_test_that_is_gone_is_said_when_all_tests_were_asked_for() -> None:
    known = BlockList({"pysentry": {"ltp:zz": "was renamed"}})
    for whole, gone in ((["ltp"], ["ltp:zz"]), ([], [])):
        said = judge(CASES, [HOST, SENTRY], {}, Baseline(), known, whole)
        assert [finding.key for finding in said.listed_but_gone] == gone


def test_an_internal_error_fails_the_run_whatever_is_known() -> None:
    now = results(a="pass")
    now["ltp:a", "seccomp"] = Result("ltp:a", "seccomp", "fail", "internal errors: 1", 0, internal_errors=1)
    said = judge(CASES, [HOST, SENTRY], now, Baseline(), BlockList({"pysentry": {"ltp:a": "known"}}))
    assert said.exit_status == 1


def test_a_baseline_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = baseline(a="pass fail", b="skip")
    saved.versions["ltp"] = {"native": "6.18"}
    saved.save(tmp_path / "baseline.json")
    assert Baseline.load(tmp_path / "baseline.json") == saved
    assert json.loads((tmp_path / "baseline.json").read_text())["tests"]["ltp:b"] == "skip -"


def test_no_baseline_is_an_empty_one(tmp_path: Path) -> None:
    assert Baseline.load(tmp_path / "none.json").outcomes == {}


def test_what_was_not_run_stays_in_the_baseline() -> None:
    known = baseline(a="pass pass", b="pass pass")
    known.update(results(b="pass fail"), {"native": "6.18", "seccomp": "new"})
    assert known.versions == {"ltp": {"native": "6.18", "seccomp": "new"}}
    assert known.outcomes["ltp:a", "seccomp"] == "pass"
    assert known.outcomes["ltp:b", "seccomp"] == "fail"


@pytest.mark.parametrize(("text", "said"), [('[pysentry]\na = " "', "no reason"), ('[gvisor]\na = "x"', "no runtime")])
def test_bad_block_lists_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ltp.toml").write_text(text)
    with pytest.raises(BadBlockList, match=said):
        load_block_lists(tmp_path, ["seccomp"])


def test_the_repository_s_own_block_lists_load() -> None:
    load_block_lists(BLOCK_LISTS, PYSENTRY)


def test_only_what_passes_natively_is_counted() -> None:
    now = results(a="pass pass", b="pass fail", c="pass skip", d="skip pass")
    for groups_of, name in ((by_source, "ltp"), (by_family, "pipe"), (by_call, "pipe")):
        (row,) = tally(CASES, ["native", "seccomp"], now, groups_of)
        assert row.name == name
        assert (row.native.passed, row.native.skipped) == (3, 1)
        count = row.by_runtime["seccomp"]
        assert (count.passed, count.failed, count.skipped, count.counted) == (1, 1, 1, 3)
        assert round(count.percent or 0) == 33


def test_no_tests_have_no_percentage() -> None:
    (row,) = tally(CASES, ["native", "seccomp"], {}, by_source)
    assert row.by_runtime["seccomp"].percent is None
