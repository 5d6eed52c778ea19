"""bench.summary: the statistics, on numbers whose results can be checked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.summary import Summary, median_absolute_deviation, paired_ratio, summarize

POSITIVE = st.floats(min_value=1e-3, max_value=1e6)


def test_the_median_absolute_deviation_ignores_one_wild_value() -> None:
    assert median_absolute_deviation([1, 2, 3, 4, 1000]) == 1


def test_one_value_has_no_deviation() -> None:
    assert median_absolute_deviation([7.5]) == 0


def test_no_values_have_no_deviation_at_all() -> None:
    with pytest.raises(ValueError, match="no values"):
        median_absolute_deviation([])


def test_a_summary_counts_what_it_summarizes() -> None:
    assert summarize({0: 1.0, 1: 3.0, 4: 2.0}) == Summary(median=2.0, mad=1.0, count=3)


def test_no_samples_have_no_summary() -> None:
    assert summarize({}) is None


def test_a_ratio_pairs_what_was_measured_in_the_same_repetition() -> None:
    # The machine was ten times slower in repetition 1: the ratio of the medians would be 2.5, each pair says 2.
    assert paired_ratio({0: 2.0, 1: 20.0, 2: 4.0}, {0: 1.0, 1: 10.0, 2: 2.0}) == 2.0


def test_a_ratio_leaves_out_repetitions_that_one_side_lacks() -> None:
    assert paired_ratio({0: 100.0, 1: 3.0}, {1: 1.0, 2: 50.0}) == 3.0


@pytest.mark.parametrize(("samples", "base"), [({}, {}), ({0: 1.0}, {1: 1.0}), ({0: 1.0}, {0: 0.0})])
def test_a_ratio_that_has_no_meaning_is_none(samples: dict[int, float], base: dict[int, float]) -> None:
    assert paired_ratio(samples, base) is None


@given(st.dictionaries(st.integers(0, 20), POSITIVE, min_size=1))
def test_anything_is_once_itself(samples: dict[int, float]) -> None:
    assert paired_ratio(samples, samples) == 1.0


@given(st.lists(POSITIVE, min_size=1), POSITIVE)
def test_deviation_scales_with_the_unit(values: list[float], factor: float) -> None:
    scaled = median_absolute_deviation([value * factor for value in values])
    assert scaled == pytest.approx(
        median_absolute_deviation(values) * factor, rel=1e-6, abs=1e-6 * max(values) * factor
    )
