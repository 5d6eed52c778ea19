"""What an engine's configuration must hold for it to know pysentry by its name, and changing the file so that it does.

A plan is made from the file's text and changes nothing; it is carried out by apply(). What cannot be parsed, or says
something else about the name already, is left alone and told. Where the engine reads a directory of files (podman,
CRI-O) we own one of them; containerd's one file gets a marked block at its end; Docker's is JSON.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from typing import Any

from pysentry.oci.errors import OciError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "# pysentry: these lines are written by `pysentry install`; it replaces them up to the next mark."
END_MARK = "# pysentry: end."
JSON_RUNTIMES = ("crun", "runc", "kata", "runsc", "youki")
"""What containers.conf has by default: a file of ours replaces the list."""
CRI_PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}


class InstallError(OciError):
    """The engine's configuration cannot be changed by us; it was not."""


class Engine:
    """One engine: where its configuration is, how the text is changed, and what the operator does afterwards."""

    __slots__ = ("after", "change", "path")

    def __init__(self, path: str, change: Callable[[str, str, str], str], after: str) -> None:
        self.path = path
        self.change = change
        self.after = after


class Plan:
    """before: the file's text, None where there is no file. after: what it would be."""

    __slots__ = ("after", "before", "path")

    def __init__(self, path: str, before: str | None, after: str) -> None:
        self.path = path
        self.before = before
        self.after = after

    @property
    def is_needed(self) -> bool:
        return self.before != self.after

    def difference(self) -> str:
        """As diff -u shows it; "" where nothing changes."""
        old = "/dev/null" if self.before is None else self.path
        before, after = (self.before or "").splitlines(keepends=True), self.after.splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, old, self.path)
        return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def plan(engine: str, name: str, command: str, path: str = "") -> Plan:
    """command: the absolute path of pysentry. path: the engine's configuration, where it is not the usual one.

    Raises InstallError.
    """
    path = os.path.realpath(path or ENGINES[engine].path)
    before: str | None
    try:
        with open(path, encoding="utf-8", newline="") as file:
            before = file.read()
    except FileNotFoundError:
        before = None
    except (OSError, UnicodeDecodeError) as error:
        raise InstallError(f"{path} cannot be read: {error}") from None
    try:
        return Plan(path, before, ENGINES[engine].change(before or "", name, command))
    except InstallError as error:
        raise InstallError(f"{path} is left as it is: {error}") from None


def apply(plan: Plan) -> None:
    """Replaces the file in one step, with the old one's owner and mode. Raises InstallError."""
    directory = os.path.dirname(plan.path)
    partial = f"{plan.path}.{os.getpid()}"
    try:
        os.makedirs(directory, exist_ok=True)
        with open(partial, "x", encoding="utf-8", newline="") as file:
            file.write(plan.after)
            file.flush()
            os.fsync(file.fileno())
        try:
            old = os.stat(plan.path)
        except FileNotFoundError:
            os.chmod(partial, 0o644)
        else:
            os.chmod(partial, old.st_mode & 0o7777)
            os.chown(partial, old.st_uid, old.st_gid)
        os.rename(partial, plan.path)
    except OSError as error:
        try:
            os.unlink(partial)
        except OSError:
            pass
        raise InstallError(f"{plan.path} cannot be written: {error}") from None


# ---- each engine ---------------------------------------------------------------------------------------------------


def _podman(text: str, name: str, command: str) -> str:
    _own_file(text)
    runtimes = ", ".join(_quoted(one) for one in (*JSON_RUNTIMES, name))
    without_cgroups = f'["crun", "krun", {_quoted(name)}]'
    return _checked(
        f"{MARK}\n"
        "[engine]\n"
        f"runtime_supports_json = [{runtimes}]\n"
        f"runtime_supports_nocgroups = {without_cgroups}\n"
        f"runtime_supports_nocgroup = {without_cgroups} # podman before 5\n\n"
        "[engine.runtimes]\n"
        f"{_quoted(name)} = [{_quoted(command)}]\n"
        f"{END_MARK}\n"
    )


def _crio(text: str, name: str, command: str) -> str:
    _own_file(text)
    return _checked(
        f"{MARK}\n"
        f"[crio.runtime.runtimes.{_quoted(name)}]\n"
        f"runtime_path = {_quoted(command)}\n"
        'runtime_type = "oci"\n'
        'runtime_root = "/run/pysentry"\n'
        f"{END_MARK}\n"
    )


def _containerd(text: str, name: str, command: str) -> str:
    without = _without_block(text)
    document = _parsed(without)
    version = document.get("version", 1 if document else 2)
    if version not in CRI_PLUGINS:
        raise InstallError(f"it is of version {version}; `containerd config migrate` writes a newer one")
    plugin = CRI_PLUGINS[version]
    if _at(document, "plugins", plugin, "containerd", "runtimes", name) is not None:
        if without == text and _runtime_of(document, plugin, name) == command:
            return text
        raise InstallError(f"it has a runtime {name} already, written by somebody else")
    table = f'plugins."{plugin}".containerd.runtimes.{_quoted(name)}'
    head = "" if "version" in document else f"version = {version}\n"
    body = without if not without or without.endswith("\n") else without + "\n"
    changed = (
        f"{head}{body}"
        f"{MARK}\n"
        f"[{table}]\n"
        'runtime_type = "io.containerd.runc.v2"\n'
        'pod_annotations = ["dev.pysentry.*"]\n'
        'container_annotations = ["dev.pysentry.*"]\n'
        f"[{table}.options]\n"
        f"BinaryName = {_quoted(command)}\n"
        f"SystemdCgroup = {'true' if _uses_systemd(document, plugin) else 'false'}\n"
        f"{END_MARK}\n"
    )
    new = _parsed(changed, "what would be written cannot be parsed; is the table written inline?")
    if _runtime_of(new, plugin, name) != command:
        raise InstallError("what would be written does not say what it should")
    return changed


def _docker(text: str, name: str, command: str) -> str:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise InstallError(f"it is no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("runtimes", {}), dict):
        raise InstallError("it is no object of settings with an object of runtimes")
    runtime = document.setdefault("runtimes", {}).setdefault(name, {})
    if not isinstance(runtime, dict) or runtime.get("runtimeType"):
        raise InstallError(f"it has a runtime {name} of another type already")
    if runtime.get("path") == command:
        return text
    runtime["path"] = command
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"


ENGINES = {
    "podman": Engine("/etc/containers/containers.conf.d/50-pysentry.conf", _podman, "podman run --runtime={name} ..."),
    "containerd": Engine(
        "/etc/containerd/config.toml",
        _containerd,
        "systemctl restart containerd; then runtimeClassName: {name} (deploy/), or ctr run --runc-binary={command}",
    ),
    "crio": Engine(
        "/etc/crio/crio.conf.d/50-pysentry.conf",
        _crio,
        "systemctl restart crio; then runtimeClassName: {name} (deploy/)",
    ),
    "docker": Engine("/etc/docker/daemon.json", _docker, "systemctl reload docker; then docker run --runtime={name}"),
}


# ---- TOML as text --------------------------------------------------------------------------------------------------


def _own_file(text: str) -> None:
    if text.strip() and not text.startswith(MARK):
        raise InstallError("somebody else wrote it")
    if _without_block(text).strip():
        raise InstallError("there are lines after ours")


def _without_block(text: str) -> str:
    if MARK not in text:
        return text
    before, _, rest = text.partition(MARK)
    _, mark, after = rest.partition(END_MARK + "\n")
    if not mark:
        raise InstallError(f"the line {END_MARK!r} is missing")
    return before + after


def _parsed(text: str, problem: str = "it is no TOML") -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InstallError(f"{problem}: {error}") from None


def _checked(text: str) -> str:
    _parsed(text, "what would be written cannot be parsed")
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a basic string of TOML is one of JSON


def _at(document: object, *keys: str) -> Any:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return document


def _runtime_of(document: dict[str, Any], plugin: str, name: str) -> object:
    return _at(document, "plugins", plugin, "containerd", "runtimes", name, "options", "BinaryName")


def _uses_systemd(document: dict[str, Any], plugin: str) -> bool:
    """As the runtime that is there by default does it."""
    default = _at(document, "plugins", plugin, "containerd", "default_runtime_name") or "runc"
    return bool(_at(document, "plugins", plugin, "containerd", "runtimes", str(default), "options", "SystemdCgroup"))
