"""Statistics of a few noisy samples: median, spread, and the ratio of two runtimes measured in turns.

Owns no samples. Medians and absolute deviations, because a busy machine makes some samples arbitrarily slow and a mean
would follow them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Samples = Mapping[int, float]
"""Measurements by the number of the repetition they were taken in; a failed repetition is absent."""


@dataclass(frozen=True)
class Summary:
    """Median and spread of one runtime on one row, in the row's unit."""

    median: float
    mad: float
    count: int


def median_absolute_deviation(values: Sequence[float]) -> float:
    """The median distance from the median, unscaled; 0 for one value. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    middle = median(values)
    return median(abs(value - middle) for value in values)


def summarize(samples: Samples) -> Summary | None:
    """None when there is nothing to summarize."""
    values = list(samples.values())
    if not values:
        return None
    return Summary(median(values), median_absolute_deviation(values), len(values))


def paired_ratio(samples: Samples, base: Samples) -> float | None:
    """Median over the repetitions of samples / base; None if no repetition has both or a base is not positive.

    The two values of one repetition were measured one after the other, so a machine that is slow for a minute slows
    both: their ratio drifts less than the ratio of the two medians.
    """
    pairs = [(samples[repetition], base[repetition]) for repetition in samples if repetition in base]
    if not pairs or any(below <= 0 for _, below in pairs):
        return None
    return median(above / below for above, below in pairs)
