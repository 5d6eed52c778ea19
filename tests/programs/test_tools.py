"""coreutils and findutils over 20,000 files, text tools, archives, git."""

from pathlib import Path

import pytest

from tests.harness.configuration import PROGRAMS
from tests.harness.programs import Comparison, made_once, need, write_tree

pytestmark = pytest.mark.configs(*PROGRAMS)


def _twenty_thousand_files(directory: Path) -> None:
    names = ((top, sub, file) for top in range(20) for sub in range(10) for file in range(100))
    write_tree(
        directory,
        (
            (
                f"d{top:02}/s{sub}/{file:02}.txt",
                f"number {top * 1000 + sub * 100 + file}\n" + "needle in it\n" * (file % 10 == 3),
            )
            for top, sub, file in names
        ),
    )


@pytest.fixture
def tree() -> Path:
    """A directory of the host with 20,000 files in 220 directories; nobody changes it."""
    return made_once("tree", _twenty_thousand_files)


def test_coreutils_and_findutils_over_a_host_tree(both: Comparison, tree: Path) -> None:
    both.script("coreutils.sh")
    result = both.same(["bash", "coreutils.sh", tree])
    assert result.stdout.startswith("files 20000, directories 221\n")
    assert result.stdout.splitlines()[-4:] == ["owner", "timeout 124", "1970-01-01T00:00:00", "work"]


def test_making_and_removing_20000_files(both: Comparison) -> None:
    both.script("make_many.sh")
    result = both.same(["bash", "make_many.sh"])
    assert result.stdout == "400\n20000\n./399/25\n50\n1\n"


def test_text_tools(both: Comparison) -> None:
    both.script("text_tools.sh")
    assert both.same(["bash", "text_tools.sh"]).status == 0


def test_tar_and_xz(both: Comparison) -> None:
    need("xz", "xz-utils")
    both.script("archive.sh")
    assert both.same(["bash", "archive.sh"]).status == 0


def test_git(both: Comparison) -> None:
    need("git", "git")
    both.script("git.sh")
    result = both.same(["bash", "git.sh"])
    assert result.status == 0, result
    assert "conflict 1\n" in result.stdout
