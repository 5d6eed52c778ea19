"""bench.targets: what counts as reached, and that a missing measurement is neither yes nor no."""

from bench.measure import CallCounts, Cell
from bench.rows import Kind, Row
from bench.targets import Verdict, verdicts


def _row(**limits: float) -> Row:
    return Row("row", "a row", Kind.WALL, ("/bin/true",), **limits)


def test_a_ratio_equal_to_the_limit_is_reached() -> None:
    cells = {"pysentry": Cell(samples={0: 5.0}), "runsc": Cell(samples={0: 10.0})}
    assert verdicts(_row(runsc_limit=0.5), cells) == [Verdict("pysentry/runsc", 0.5, 0.5)]
    assert verdicts(_row(runsc_limit=0.5), cells)[0].is_reached is True


def test_a_ratio_above_the_limit_is_not() -> None:
    cells = {"pysentry": Cell(samples={0: 6.0}), "runsc": Cell(samples={0: 10.0})}
    assert verdicts(_row(runsc_limit=0.5), cells)[0].is_reached is False


def test_without_the_other_runtime_there_is_no_verdict() -> None:
    (verdict,) = verdicts(_row(runsc_limit=0.5), {"pysentry": Cell(samples={0: 6.0})})
    assert verdict.value is None
    assert verdict.is_reached is None


def test_times_of_a_runtime_that_went_wrong_are_no_verdict() -> None:
    cells = {"pysentry": Cell(samples={0: 1.0}, errors=["status 1"]), "runsc": Cell(samples={0: 10.0})}
    assert verdicts(_row(runsc_limit=0.5), cells)[0].is_reached is None


def test_the_native_time_is_a_target_of_its_own() -> None:
    cells = {"pysentry": Cell(samples={0: 4.1}), "none": Cell(samples={0: 0.1})}
    (verdict,) = verdicts(_row(none_limit=40.0), cells)
    assert verdict.what == "pysentry/none"
    assert verdict.is_reached is False


def test_punts_must_stay_under_their_limit() -> None:
    def verdict(punts: int) -> Verdict:
        cell = Cell(call_counts=CallCounts(calls=100, punts=punts, internal_errors=0))
        return verdicts(_row(punts_limit=0.05), {"pysentry": cell})[0]

    assert verdict(4).is_reached is True
    assert verdict(5).is_reached is False


def test_no_calls_have_no_punts() -> None:
    assert CallCounts(calls=0, punts=0, internal_errors=0).punts_share == 0


def test_idle_memory_is_judged_as_it_is() -> None:
    row = Row("idle_pss", "idle", Kind.IDLE_PSS, ("/bin/sleep", "4"), idle_limit_mib=30.0)
    (verdict,) = verdicts(row, {"pysentry": Cell(samples={0: 29.0, 1: 31.0, 2: 29.5})})
    assert verdict.value == 29.5
    assert verdict.is_reached is True


def test_a_row_without_limits_has_no_verdicts() -> None:
    assert verdicts(_row(), {"pysentry": Cell(samples={0: 1.0})}) == []
