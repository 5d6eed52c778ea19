"""The runtimes: what each puts around a test's command, and whether it can be had here.

pysentry's are the configurations of tests/harness, by their names there. Anything else is an OCI runtime given by path.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compat import bundle
from bench.compat.case import NATIVE, ROOT, Case
from tests.harness.configuration import ALL, Configuration

_NAMESPACES = Path(__file__).with_name("namespaces.py")
_PROBE_TIMEOUT_S = 60.0
PYSENTRY = tuple(name for name, row in ALL.items() if not row.is_native and not row.unprivileged)
DEFAULT = (NATIVE, "seccomp")


class RuntimeMissing(Exception):
    """A runtime that was asked for cannot be had here."""


@dataclass(frozen=True)
class Prepared:
    """A command line for one run, and one that removes what a killed run may leave."""

    argv: list[str]
    undo: list[str] | None = None


@dataclass(frozen=True)
class Runtime:
    """`kind` is native, pysentry or oci. `command` is the program with its own options."""

    name: str
    kind: str
    command: tuple[str, ...] = ()
    version: str = ""
    has_user_namespace: bool = True

    @property
    def is_pysentry(self) -> bool:
        return self.kind == "pysentry"

    def prepare(
        self,
        case: Case,
        argv: Sequence[str],
        environment: Mapping[str, str],
        place: Path,
        memory_bytes: int | None = None,
    ) -> Prepared:
        """`place` holds work/ (the command's own directory) and is where a bundle may be written.

        `memory_bytes` is for runtimes that leave our cgroup for one of their own.
        """
        if self.kind == "native":
            user = str(case.user)
            return Prepared(["/usr/bin/python3", "-IS", str(_NAMESPACES), str(place / "work"), user, user, *argv])
        if self.kind == "pysentry":
            identity = [f"--user={case.user}:{case.user}"] if case.user else []
            return Prepared([*self.command, *identity, "--", *argv])
        return self._prepare_bundle(case, argv, environment, place, memory_bytes)

    def _prepare_bundle(
        self,
        case: Case,
        argv: Sequence[str],
        environment: Mapping[str, str],
        place: Path,
        memory_bytes: int | None,
    ) -> Prepared:
        directory, state = place / "bundle", place / "state"
        directory.mkdir()
        state.mkdir()
        shown = bundle.Shown(place / "work", case.is_read, self.has_user_namespace, memory_bytes)
        bundle.write(directory, argv, environment, case.user, shown)
        name = f"compat-{uuid.uuid4().hex[:12]}"
        call = [*self.command, "--root", str(state)]
        return Prepared([*call, "run", "--bundle", str(directory), name], [*call, "delete", "--force", name])


def find(names: Sequence[str], oci: Sequence[str]) -> list[Runtime]:
    """`names` are native and pysentry's configurations; `oci` are NAME=COMMAND or COMMAND, with options.

    Native comes first, asked for or not: it is the ruler. Raises RuntimeMissing.
    """
    unknown = sorted(set(names) - {NATIVE, *PYSENTRY})
    if unknown:
        raise RuntimeMissing(f"no runtime {', '.join(unknown)}: there are {', '.join((NATIVE, *PYSENTRY))}, and --oci")
    found = [Runtime(NATIVE, "native", (), os.uname().release)]
    found += [_pysentry(ALL[name]) for name in PYSENTRY if name in names]
    found += [_oci(text) for text in oci]
    return found


def pysentry_command() -> Path:
    """$PYSENTRY, or the one of this checkout."""
    path = Path(os.environ.get("PYSENTRY") or ROOT / ".venv/bin/pysentry")
    if not path.exists():
        raise RuntimeMissing(f"{path} does not exist: run `make venv`, or set PYSENTRY")
    return path


def _pysentry(configuration: Configuration) -> Runtime:
    program = pysentry_command()
    return Runtime(configuration.name, "pysentry", (str(program), "run", *configuration.options), _commit(program))


def _commit(program: Path) -> str:
    """Which pysentry that is: the commit of the checkout that it lies in."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=program.resolve().parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _oci(text: str) -> Runtime:
    name, command = text.split("=", 1) if "=" in text.split(" ")[0] else ("", text)
    words = shlex.split(command)
    path = shutil.which(words[0]) if words else None
    if path is None:
        raise RuntimeMissing(f"--oci {text!r}: {words[0] if words else 'nothing'} is not there")
    answer = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
    )
    version = next(iter(answer.stdout.splitlines()), "")
    # runsc has a kernel of its own to be root of.
    return Runtime(name or Path(path).name, "oci", (path, *words[1:]), version, "runsc" not in version)
