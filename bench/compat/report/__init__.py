"""The reports of a run: JSON for programs, Markdown for reading, one HTML page for looking around."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.compat.baseline import BlockList
from bench.compat.case import Case
from bench.compat.journal import Journal
from bench.compat.judgement import Judgement
from bench.compat.report.document import document
from bench.compat.report.markdown import markdown
from bench.compat.report.page import page
from bench.compat.runtimes import Runtime


def write_reports(
    stem: Path,
    cases: Sequence[Case],
    runtimes: Sequence[Runtime],
    journal: Journal,
    judgement: Judgement,
    block_list: BlockList,
) -> list[Path]:
    """Writes STEM.json, STEM.md and STEM.html; returns their paths."""
    told = document(cases, runtimes, journal, judgement, block_list)
    texts = {".json": json.dumps(told, indent=1) + "\n", ".md": markdown(told), ".html": page(told)}
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, text in texts.items():
        path = stem.parent / (stem.name + suffix)
        path.write_text(text)
        paths.append(path)
    return paths
