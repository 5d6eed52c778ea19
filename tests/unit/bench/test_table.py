"""bench.table and bench.report: the looks, on made-up cells; no timing."""

import json

import pytest

from bench.measure import CallCounts, Cell
from bench.report import document
from bench.rows import Kind, Row
from bench.runtimes import Runtime
from bench.table import footnotes, format_cell, format_value, format_verdict, markdown, table_lines, terminal
from bench.targets import Verdict

ROWS = [
    Row("true", "/bin/true", Kind.WALL, ("/bin/true",), runsc_limit=0.5),
    Row("find", "find | sort", Kind.WALL, ("/usr/bin/find",), runsc_limit=0.5, punts_limit=0.05),
]
RUNTIMES = [
    Runtime("none", (), ""),
    Runtime("pysentry", ("pysentry", "run", "--"), "1.0"),
    Runtime("runsc", ("runsc", "do"), "2.0"),
    Runtime("proot", (), "", missing="proot is not there"),
]


@pytest.fixture
def measured() -> dict[str, dict[str, Cell]]:
    return {
        "true": {
            "none": Cell(samples={0: 0.5, 1: 0.5}),
            "pysentry": Cell(samples={0: 5.0, 1: 5.0}, call_counts=CallCounts(10, 1, 0)),
            "runsc": Cell(samples={0: 100.0, 1: 150.0}),
        },
        "find": {
            "none": Cell(samples={0: 10.0}),
            "pysentry": Cell(errors=["status 125: broken"]),
            "runsc": Cell(samples={0: 300.0}),
        },
    }


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.07123, "0.071"), (3.14159, "3.14"), (27.49, "27.5"), (1234.4, "1234")]
)
def test_values_have_about_three_digits(value: float, text: str) -> None:
    assert format_value(value) == text


def test_a_cell_shows_median_spread_and_ratio(measured: dict[str, dict[str, Cell]]) -> None:
    assert format_cell("runsc", measured["true"]) == "125 ±20% x250"
    assert format_cell("none", measured["true"]) == "0.500 ±0%"


def test_one_sample_has_no_spread_and_an_error_no_number(measured: dict[str, dict[str, Cell]]) -> None:
    assert format_cell("runsc", measured["find"]) == "300 x30.0"
    assert format_cell("pysentry", measured["find"]) == "error"


def test_verdicts_in_words() -> None:
    assert format_verdict(Verdict("pysentry/runsc", 0.5, 0.25)) == "≤0.5: 0.250 yes"
    assert format_verdict(Verdict("pysentry/none", 40.0, 52.0)) == "x none ≤40: 52.0 NO"
    assert format_verdict(Verdict("punts share", 0.05, 0.012, is_strict=True)) == "punts <5%: 1.2% yes"
    assert format_verdict(Verdict("PSS in MiB", 30.0, None)) == "MiB ≤30: not measured"


def test_missing_runtimes_have_no_column(measured: dict[str, dict[str, Cell]]) -> None:
    header = table_lines(ROWS, RUNTIMES, measured)[0]
    assert header == ["", "unit", "none", "pysentry", "runsc", "pysentry/runsc", "targets"]


def test_rows_that_were_not_measured_are_left_out(measured: dict[str, dict[str, Cell]]) -> None:
    del measured["find"]
    assert [line[0] for line in table_lines(ROWS, RUNTIMES, measured)] == ["", "/bin/true"]


def test_terminal_columns_are_aligned(measured: dict[str, dict[str, Cell]]) -> None:
    header, *lines = terminal(table_lines(ROWS, RUNTIMES, measured)).splitlines()
    assert header.index("targets") == lines[0].index("≤0.5") == lines[1].index("≤0.5")
    assert all(line == line.rstrip() for line in [header, *lines])


def test_markdown_keeps_bars_inside_their_cell(measured: dict[str, dict[str, Cell]]) -> None:
    lines = markdown(table_lines(ROWS, RUNTIMES, measured)).splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("| find \\| sort |")
    assert {line.replace("\\|", "").count("|") for line in lines} == {8}


def test_what_is_missing_or_wrong_is_told(measured: dict[str, dict[str, Cell]]) -> None:
    assert footnotes(RUNTIMES, measured) == [
        "proot is missing: proot is not there",
        "find, pysentry: status 125: broken",
    ]


def test_the_document_holds_every_sample_and_is_json(measured: dict[str, dict[str, Cell]]) -> None:
    result = json.loads(json.dumps(document(ROWS, RUNTIMES, measured, {"started": "now"})))
    true, find = result["rows"]
    assert result["started"] == "now"
    assert true["runtimes"]["runsc"]["samples"] == {"0": 100.0, "1": 150.0}
    assert true["runtimes"]["runsc"]["ratio_to_none"] == 250.0
    assert true["runtimes"]["pysentry"]["punts_share"] == 0.1
    assert true["targets"][0]["is_reached"] is True
    assert find["runtimes"]["pysentry"]["errors"] == ["status 125: broken"]
    assert find["targets"][0]["is_reached"] is None
    assert result["runtimes"]["proot"]["missing"] == "proot is not there"
