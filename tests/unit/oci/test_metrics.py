"""The text of `metrics`, read by Prometheus' own client library."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from pysentry.oci.metrics import METRICS, Sample, render

REPORT = {
    "calls": 100,
    "fast": 70,
    "punts": 5,
    "python": 20,
    "control": 5,
    "native": 3,
    "unknown": 1,
    "parked": 2,
    "interrupted": 0,
    "forks": 4,
    "execs": 2,
    "signals": 1,
    "gofer_calls": 17,
    "internal_errors": 0,
    "startup_ns": 61_500_000,
}
STATS = {
    "cpu": {"usage": {"total": 10, "user": 2_500_000_000, "kernel": 500_000_000}, "throttling": {"throttledTime": 0}},
    "memory": {"usage": {"limit": (1 << 63) - 4096, "usage": (1 << 53) + 1, "max": 4096, "failcnt": 2}},
    "pids": {"current": 3, "limit": 0},
}


def read(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    return {
        (sample.name.removeprefix("pysentry_"), *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_a_running_container() -> None:
    found = read(render([Sample("box", "running", REPORT, STATS)]))
    assert (
        found.items()
        >= {
            ("container_status", "box", "running"): 1.0,
            ("container_status", "box", "paused"): 0.0,
            ("startup_seconds", "box"): 0.0615,
            ("calls_total", "box", "fast"): 70.0,
            ("calls_total", "box", "punt"): 5.0,
            ("calls_denied_total", "box"): 1.0,
            ("gofer_requests_total", "box"): 17.0,
            ("internal_errors_total", "box"): 0.0,
            ("cpu_seconds_total", "box", "user"): 2.5,
            ("memory_peak_bytes", "box"): 4096.0,
            ("pids", "box"): 3.0,
        }.items()
    )
    assert ("memory_limit_bytes", "box") not in found  # v1's way to say that there is none
    assert ("pids_limit", "box") not in found


def test_large_numbers_are_exact() -> None:
    assert f'pysentry_memory_usage_bytes{{container="box"}} {(1 << 53) + 1}\n' in render(
        [Sample("box", "x", {}, STATS)]
    )


def test_a_container_that_tells_nothing_has_a_status_only() -> None:
    found = read(render([Sample("paused", "paused", {}, {}), Sample("box", "running", REPORT, {})]))
    assert {key[0] for key in found if key[1] == "paused"} == {"container_status"}
    assert ("calls_total", "box", "fast") in found


def test_every_metric_is_described_even_without_containers() -> None:
    families = {family.name: family for family in parse(render([]))}
    assert len(families) == len(METRICS)
    for name, kind, help_text, _ in METRICS:
        family = families[f"pysentry_{name.removesuffix('_total')}"]
        assert (family.type, family.documentation) == (kind, help_text)
        assert name.endswith("_total") == (kind == "counter")


@given(st.text(alphabet=st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1))
def test_labels_are_escaped(identity: str) -> None:
    found = read(render([Sample(identity, "running", {}, {})]))
    assert found["container_status", identity, "running"] == 1.0
