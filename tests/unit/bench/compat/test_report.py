"""bench.compat.report: the same facts three times; the page needs nothing but itself."""

import json
import re
from pathlib import Path

from bench.compat.baseline import Baseline, BlockList
from bench.compat.case import Result
from bench.compat.journal import Journal
from bench.compat.judgement import judge
from bench.compat.report import write_reports
from tests.unit.bench.compat.cases import HOST, SENTRY, case, results

HOSTILE = "</script><script>alert(1)</script> | <b>&amp;"


def written(tmp_path: Path) -> dict[str, str]:
    cases = [case(name) for name in "abc"]
    known = BlockList({"pysentry": {"ltp:b": "no mounts | yet"}})
    with Journal(tmp_path / "results.jsonl") as journal:
        journal.begin({"started": "2026-01-01T00:00:00+00:00", "runtimes": {"native": "6.18"}})
        journal.results.update(results(a="pass pass", b="pass fail"))
        journal.add(Result("ltp:c", "native", "pass", status=0))
        journal.add(Result("ltp:c", "seccomp", "fail", HOSTILE, 1, 0.1, HOSTILE))
        said = judge(cases, [HOST, SENTRY], journal.results, Baseline(), known)
        paths = write_reports(tmp_path / "out/report", cases, [HOST, SENTRY], journal, said, known)
    return {path.suffix: path.read_text() for path in paths}


def test_json_holds_counts_and_tests(tmp_path: Path) -> None:
    told = json.loads(written(tmp_path)[".json"])
    assert told["sources"][0]["by_runtime"]["seccomp"]["percent"] == 33.3
    assert [finding["key"] for finding in told["findings"]["unlisted"]] == ["ltp:c"]
    assert told["tests"][1]["results"]["seccomp"]["reason"] == "no mounts | yet"


def test_markdown_has_whole_tables(tmp_path: Path) -> None:
    text = written(tmp_path)[".md"]
    assert "| ltp | 3 |  |  | 1 | 33.3 | 2 |  |" in text
    assert "no mounts \\| yet" in text
    columns: int | None = None
    for line in text.splitlines():
        count = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            columns = None
        else:
            assert columns in (None, count), line
            columns = count


def test_the_page_is_one_file_and_runs_nothing_that_a_test_said(tmp_path: Path) -> None:
    text = written(tmp_path)[".html"]
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(""", text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert text.count("<script") == 2
    assert "alert(1)</script>" not in text
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["tests"][2]["results"]["seccomp"]["cause"] == HOSTILE
