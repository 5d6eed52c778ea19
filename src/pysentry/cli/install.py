"""`pysentry install`: an engine's configuration learns of us; shown as a diff, then written."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

import click

from pysentry.oci.errors import OciError
from pysentry.oci.install import ENGINES, apply, plan

USAGE_ERROR = 2
FAILED = 1


def install(options: Mapping[str, object], words: list[str]) -> int:
    engine = str(options.get("engine", ""))
    if engine not in ENGINES or words:
        click.echo(f"pysentry install: --engine takes one of {', '.join(ENGINES)}", err=True)
        return USAGE_ERROR
    name = str(options.get("name") or "pysentry")
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        click.echo(f"pysentry install: --name {name}: letters, digits, - and _ only", err=True)
        return USAGE_ERROR
    command = str(options.get("command") or _own_command())
    if not os.path.isabs(command) or not os.access(command, os.X_OK):
        click.echo(f"pysentry install: --command {command}: not the absolute path of a program", err=True)
        return USAGE_ERROR
    try:
        made = plan(engine, name, command, str(options.get("config") or ""))
        if not made.is_needed:
            click.echo(f"{made.path}: nothing to do")
            return 0
        click.echo(made.difference(), nl=False)
        if options.get("dry_run"):
            return 0
        apply(made)
    except OciError as error:
        click.echo(f"pysentry install: {error}", err=True)
        return FAILED
    click.echo(f"{made.path}: written. Next: {ENGINES[engine].after.format(name=name, command=command)}")
    return 0


def _own_command() -> str:
    """The command that we are, as an engine can start it from anywhere."""
    given = sys.argv[0]
    return os.path.abspath(given if os.sep in given else shutil.which(given) or given)
