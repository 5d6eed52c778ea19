"""--changes and --export: what a run changed, against what the same script does to a copy of the tree on the host."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.harness.configuration import COMMAND
from tests.harness.runner import Runner
from tests.harness.time_limit import run_to_time_limit

pytestmark = pytest.mark.configs(*COMMAND)

SCRIPT = r"""
set -e
cat as-is > /dev/null; ls -lR . > /dev/null
echo more >> grown; printf same > rewritten; : > emptied; chmod 600 mode; touch -d @5 time
mkdir -p new/deep; echo hi > new/deep/file; ln new/deep/file new/hard; ln -s deep/file new/link; mkfifo new/fifo
rm gone; touch once; rm once; mv moved elsewhere; mv directory new/place; echo late > new/place/late; rm new/place/one
rm -r remade; mkdir remade; echo 1 > remade/kept; rm -r kind; echo file > kind; mv over under
printf x > 'odd
name\'; ln as-is second
"""
LISTED = {
    *("C as-is", "C grown", "C rewritten", "C emptied", "C mode", "C time", "D gone", "D moved", "A elsewhere"),
    *("A new", "A new/deep", "A new/deep/file", "A new/hard", "A new/link", "A new/fifo", "A new/place"),
    *("A new/place/late", "A new/place/below", "A new/place/below/two", "D directory", "A second"),
    *("C remade", "C remade/kept", "D remade/lost", "C kind", "D over", "C under", r"A odd\x0aname\x5c"),
}


def make_tree(runner: Runner) -> None:
    root = runner.work
    for name in ("as-is", "grown", "rewritten", "emptied", "mode", "time", "gone", "moved", "over", "under"):
        (root / name).write_text(name)
    for name in ("directory/one", "directory/below/two", "remade/kept", "remade/lost", "kind/inner", "quiet/inner"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    give_to_user(runner, root)


def give_to_user(runner: Runner, root: Path) -> None:
    if runner.configuration.unprivileged:
        subprocess.run(["chown", "-R", f"--reference={runner.directory / 'home'}", root], check=True)


def apply_layer(archive: Path, prefix: str, root: Path) -> None:
    """As the OCI image specification has it: deleted names first named, then what is new put over the rest."""
    with tarfile.open(archive) as layer:
        for member in layer:
            if not member.name.startswith(prefix + "/"):
                continue
            member.name = member.name.removeprefix(prefix + "/")
            member.linkname = member.linkname.removeprefix(prefix + "/") if member.islnk() else member.linkname
            directory, _, name = member.name.rpartition("/")
            place = root / directory / name.removeprefix(".wh.")
            is_directory = place.is_dir() and not place.is_symlink()
            if name.startswith(".wh.") or not (is_directory and member.isdir()):
                if is_directory:
                    shutil.rmtree(place)
                elif os.path.lexists(place):
                    place.unlink()
            if not name.startswith(".wh."):
                layer.extract(member, root)


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Each name with all that the two trees must agree on; hard links by the names of their group."""
    found: dict[str, tuple[object, ...]] = {}
    groups: dict[int, list[str]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        content = path.read_bytes() if path.is_file() else os.readlink(path) if path.is_symlink() else None
        found[name] = (stat.filemode(status.st_mode), content, status.st_uid, status.st_gid)
        if not stat.S_ISDIR(status.st_mode):
            groups.setdefault(status.st_ino, []).append(name)
    return {**found, "links": (sorted(names for names in groups.values() if len(names) > 1),)}


def test_the_layer_makes_what_the_script_makes(runner: Runner) -> None:
    make_tree(runner)
    native, layered = runner.directory / "native", runner.directory / "layered"
    for copy in (native, layered):
        shutil.copytree(runner.work, copy, symlinks=True)
        give_to_user(runner, copy)
    subprocess.run(["sh", "-c", SCRIPT], cwd=native, check=True, **runner.user_arguments())
    out = runner.directory / "home/layer.tar"
    result = runner.run(["sh", "-c", SCRIPT], options=["--export", str(out)])
    assert (result.status, result.stderr) == (0, "")
    apply_layer(out, str(runner.work)[1:], layered)
    wanted, found = describe(native), describe(layered)
    if os.geteuid() != 0 or runner.configuration.unprivileged:
        wanted, found = ({name: row[:2] for name, row in tree.items()} for tree in (wanted, found))
    assert found == wanted
    assert (layered / "time").stat().st_mtime == 5


def test_the_list(runner: Runner) -> None:
    make_tree(runner)
    out = runner.directory / "home/changes"
    assert runner.run(["sh", "-c", SCRIPT], options=[f"--changes={out}", "--tmpfs", "/opt/made/for/this"]).status == 0
    here = str(runner.work)
    lines = [line for line in out.read_text().splitlines() if line[2:].startswith(here + "/")]
    assert {line[:2] + line[3 + len(here) :] for line in lines} == LISTED
    assert len(lines) == len(LISTED)
    assert [line for line in out.read_text().splitlines() if not line[2:].startswith(here)] == []


def test_nothing_changed(runner: Runner) -> None:
    make_tree(runner)
    result = runner.run(["sh", "-c", "cat grown; echo 1 > /tmp/x; echo 2 > /dev/shm/x"], options=["--changes"])
    assert (result.stdout, result.stderr) == ("grown", "")


def test_also_after_a_time_out(runner: Runner) -> None:
    changes = f"C {runner.work}\nA {runner.work}/made\n"
    run_to_time_limit(
        runner, ["sh", "-c", "echo > made; sleep 1000"], lambda result: result.stderr == changes, ["--changes"]
    )


def test_where_it_cannot_be_written(runner: Runner) -> None:
    missing = runner.run(["true"], options=["--export", "/no/such/file"], has_report=False)
    assert missing.stderr == "pysentry: --export /no/such/file: No such file or directory (ENOENT)\n"
    full = runner.run(["sh", "-c", "echo > made"], options=["--export", "/dev/full"])
    assert full.stderr == "pysentry: cannot write what changed: No space left on device (ENOSPC)\n"
    assert (missing.status, full.status) == (125, 125)
