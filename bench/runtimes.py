"""The runtimes: how each is asked to run a command over the host's files, and whether it can be had here.

Each gets the form that is nearest to `pysentry run`: host files readable, a private or throw-away place to write, no
network. Owns installing (apt) and probing; measures nothing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.execute import describe_status, execute, last_words

_ROOT = Path(__file__).resolve().parent.parent
_PROBE_TIMEOUT_S = 30.0
_APT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Recipe:
    """How to get and call a runtime. `forms` are argument lists to try in order: the first that works here is used."""

    name: str
    program: str
    package: str | None
    forms: Callable[[Path], list[list[str]]]
    version_arguments: tuple[str, ...] = ("--version",)


@dataclass(frozen=True)
class Runtime:
    """A runtime found (or not) on this machine. `prefix` goes before the command; `missing` says why it has none."""

    name: str
    prefix: tuple[str, ...]
    version: str
    missing: str | None = None


def _bwrap_forms(scratch: Path) -> list[list[str]]:
    base = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", str(scratch), str(scratch)]
    return [[*base, "--unshare-all"], [*base, "--unshare-all", "--share-net"]]


def _runsc_forms(_: Path) -> list[list[str]]:
    # `do` is runsc's own "host root read-only, memory overlay above": the same files and the same overlay as pysentry's
    # default. Where cgroups can't be written (containers, no root) it must be told to leave them alone.
    base = ["--platform=ptrace", "--network=none"]
    return [[*base, "do"], [*base, "--ignore-cgroups", "do"], [*base, "--ignore-cgroups", "--rootless", "do"]]


_PYSENTRY = str(_ROOT / ".venv" / "bin" / "pysentry")
RECIPES = (
    Recipe("none", "", None, lambda _: [[]]),
    Recipe("pysentry", _PYSENTRY, None, lambda _: [["run", "--"]]),
    Recipe("pysentry-ptrace", _PYSENTRY, None, lambda _: [["run", "--platform=ptrace", "--"]]),
    Recipe("runsc", "runsc", "runsc", _runsc_forms, ("-version",)),
    Recipe("bwrap", "bwrap", "bubblewrap", _bwrap_forms),
    Recipe("proot", "proot", "proot", lambda _: [[]]),
)
DEFAULT_RUNTIMES = ("none", "pysentry", "runsc", "bwrap", "proot")


def find_runtimes(
    names: Sequence[str], programs: Mapping[str, str], scratch: Path, environment: Mapping[str, str], may_install: bool
) -> list[Runtime]:
    """Probe the named runtimes in the order of RECIPES. `programs` overrides a runtime's program by name.

    Raises ValueError for an unknown name.
    """
    known = {recipe.name for recipe in RECIPES}
    unknown = sorted((set(names) | set(programs)) - known)
    if unknown:
        raise ValueError(f"no such runtime: {', '.join(unknown)} (there are: {', '.join(sorted(known))})")
    recipes = [recipe for recipe in RECIPES if recipe.name in names]
    if may_install:
        install_missing([recipe for recipe in recipes if recipe.name not in programs])
    return [_probe(recipe, programs.get(recipe.name, recipe.program), scratch, environment) for recipe in recipes]


def install_missing(recipes: Sequence[Recipe]) -> None:
    """apt-get install what is not on PATH, if we are root and apt is there. A failure shows as a missing runtime."""
    packages = [recipe.package for recipe in recipes if recipe.package and not shutil.which(recipe.program)]
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *packages]):
        try:
            subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_APT_TIMEOUT_S,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        except subprocess.TimeoutExpired:
            print(f"{' '.join(command)} took too long", file=sys.stderr)


def _probe(recipe: Recipe, program: str, scratch: Path, environment: Mapping[str, str]) -> Runtime:
    if recipe.name == "none":
        return Runtime("none", (), "")
    path = shutil.which(program)
    if path is None:
        how = f"apt-get install {recipe.package}" if recipe.package else "make venv"
        return Runtime(recipe.name, (), "", f"{program} is not there ({how})")
    version = _version(path, recipe.version_arguments)
    failure = "no form to try"
    for form in recipe.forms(scratch):
        prefix = (path, *form)
        run = execute([*prefix, "/bin/true"], environment, _PROBE_TIMEOUT_S)
        if run.status == 0:
            return Runtime(recipe.name, prefix, version)
        failure = f"/bin/true under it: {describe_status(run.status)}: {last_words(run.stderr_tail)}"
    return Runtime(recipe.name, (), version, failure)


def _version(path: str, arguments: Sequence[str]) -> str:
    """The first number that looks like a version; empty if the program doesn't say."""
    try:
        answer = subprocess.run(
            [path, *arguments], check=False, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # proot puts its number at the end of a drawing.
    found = re.search(r"[\d.]+[\d](?:~\S+)?", answer.stdout + answer.stderr)
    return found[0] if found else ""
