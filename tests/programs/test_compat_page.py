"""The suite's HTML report in a real browser: what its script draws, filters and unfolds."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.compat.baseline import Baseline, BlockList
from bench.compat.case import Result
from bench.compat.journal import Journal
from bench.compat.judgement import judge
from bench.compat.report import write_reports
from tests.harness.patience import PATIENCE_S
from tests.harness.programs import need
from tests.unit.bench.compat.cases import HOST, SENTRY, case, results

HOSTILE = "</script><script>document.title = 'taken'</script><b>"
# A user's clicks. What the page then shows is left in an element of its own: --dump-dom prints that.
VISIT = """<script>
const shown = () => [
  [...document.querySelectorAll("#matrix tr.test td:first-child")].map((cell) => cell.textContent),
  document.getElementById("shown").textContent,
];
const set = (id, value) => {
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event("change", { bubbles: true }));
  return shown();
};
const seen = { all: shown() };
seen.failures = set("outcome", "fail");
document.querySelectorAll("#matrix tr.test")[1].click();
seen.detail = document.querySelector("#matrix tr.detail pre").textContent;
set("outcome", "");
seen.uncounted = set("outcome", "uncounted");
set("outcome", "");
seen.words = set("text", "LTP:b why");
seen.nothing = set("text", "no such test");
set("group", "calls");
document.querySelector("#chart .entry").click();
seen.call = [document.getElementById("text").value, ...shown()];
const bars = [...document.querySelectorAll("#chart .bar rect")];
seen.bars = bars.map((bar) => [bar.className.baseVal, bar.width.baseVal.value]);
seen.percent = document.querySelector("#sources b").textContent;
seen.found = [...document.querySelectorAll("#findings summary")].map((one) => one.textContent);
seen.title = document.title;
const left = document.createElement("pre");
left.id = "seen";
left.textContent = JSON.stringify(seen);
document.body.append(left);
</script>"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    cases = [case(name) for name in "abcd"]
    known = BlockList({"pysentry": {"ltp:b": "no mounts yet"}})
    with Journal(tmp_path / "results.jsonl") as journal:
        journal.begin({"started": "2026-01-01T00:00:00+00:00", "runtimes": {"native": "6.18"}})
        journal.results.update(results(a="pass pass", b="pass fail", d="skip"))
        journal.add(Result("ltp:c", "native", "pass", status=0))
        journal.add(Result("ltp:c", "seccomp", "fail", HOSTILE, 1, 0.1, HOSTILE))
        said = judge(cases, [HOST, SENTRY], journal.results, Baseline(), known)
        paths = write_reports(tmp_path / "report", cases, [HOST, SENTRY], journal, said, known)
    return next(path for path in paths if path.suffix == ".html")


def test_the_page_is_drawn_filtered_and_unfolded(page: Path, tmp_path: Path) -> None:
    need("chromium", "chromium")
    page.write_text(page.read_text().replace("</body>", VISIT + "</body>"))
    seen = visited(page, tmp_path / "profile")
    seen["bars"] = [[kind, round(width, 2)] for kind, width in seen["bars"]]
    assert seen == {
        "all": [["ltp:a", "ltp:b", "ltp:c", "ltp:d"], "4 of 4"],
        "failures": [["ltp:b", "ltp:c"], "2 of 4"],
        "detail": HOSTILE,
        "uncounted": [["ltp:d"], "1 of 4"],
        "words": [["ltp:b"], "1 of 4"],
        "nothing": [[], "0 of 4"],
        "call": ["pipe", ["ltp:a", "ltp:b", "ltp:c", "ltp:d"], "4 of 4"],
        "bars": [["pass", 33.33], ["fail", 66.67]],
        "percent": "33.3 %",
        "found": ["Fails, on no block list: 1"],
        "title": "Syscall compatibility",
    }


def visited(page: Path, profile: Path) -> dict[str, Any]:
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    done = subprocess.run(
        [*browser, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    left = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert left is not None, done.stdout[-2000:] + done.stderr[-2000:]
    told: dict[str, Any] = json.loads(html.unescape(left[1]))
    return told
