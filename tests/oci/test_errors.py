"""What verbs say when they cannot: the words that engines match on, and where they are written."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.harness.raw_runtime import WAITS, RawRuntime


def told(raw: RawRuntime, *words: str, **arguments: object) -> str:
    done = raw.call(*words, status=None, **arguments)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    "verb", ["start", "state", "kill", "delete", "exec", "ps", "pause", "resume", "update", "events"]
)
def test_there_is_no_such_container(raw: RawRuntime, verb: str) -> None:
    words = {"exec": ["true"], "update": []}.get(verb, [])
    text = told(raw, verb, *(["--memory=5m"] if verb == "update" else []), "nobody", *words)
    if raw.name != "crun":
        assert "container does not exist" in text


def test_words_that_engines_match_on(raw: RawRuntime) -> None:
    if raw.name == "crun":
        pytest.skip("these are runc's words")
    container = raw.start(*WAITS)
    identity = container.identity
    assert "cannot start an already running container" in told(raw, "start", identity)
    assert f"cannot delete container {identity} that is not stopped: running" in told(raw, "delete", identity)
    assert "container with given ID already exists" in told(raw, "create", "--bundle", str(container.bundle), identity)
    assert container.status == "running"
    container.call("pause")
    assert "cannot exec in a paused container" in told(raw, "exec", identity, "true")
    container.call("resume")
    container.kill()
    container.wait()
    assert "container not running" in told(raw, "kill", identity, "15")
    assert "cannot exec in a stopped container" in told(raw, "exec", identity, "true")
    assert "cannot start a container that has stopped" in told(raw, "start", identity)
    assert "not running" in told(raw, "pause", identity)
    raw.call("kill", "--all", identity, "9")
    raw.call("delete", "--force", identity)
    raw.call("delete", "--force", identity)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/no/such", ("no such file or directory",)),
        ("nosuchprogram", ("executable file not found in $PATH",)),
        ("/etc/passwd", ("permission denied",)),
        ("/etc", ("permission denied", "is a directory")),
    ],
)
def test_program_that_cannot_be_run(raw: RawRuntime, program: str, words: tuple[str, ...]) -> None:
    """podman makes 126 and 127 of these words."""
    if raw.name == "crun":
        pytest.skip("crun has words of its own, which podman knows, too")
    identity = raw.identity()
    status, text = raw.leave("create", "--bundle", str(raw.bundle(program)), identity, status=None)
    if status == 0:
        done = raw.call("start", identity, status=None)
        status, text = done.returncode, done.stderr
    assert status != 0
    assert any(word in text.lower() for word in (one.lower() for one in words)), text
    container = raw.start(*WAITS)
    text = told(raw, "exec", container.identity, program)
    assert any(word in text.lower() for word in (one.lower() for one in words)), text


def test_log_is_one_line_of_json(raw: RawRuntime) -> None:
    done = subprocess.run(
        [raw.path, "--root", raw.root, f"--log={raw.log}", "--log-format=json", "start", "nobody"],
        capture_output=True,
        text=True,
        check=False,
    )
    entry = json.loads(raw.log.read_text())  # as podman reads it
    assert entry["level"] == "error"
    assert entry["msg"] in done.stderr
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", entry["time"])


def test_log_stays_empty(raw: RawRuntime) -> None:
    identity = raw.identity()
    raw.leave("--log", str(raw.log), "--log-format", "json", "create", "--bundle", str(raw.bundle(*WAITS)), identity)
    assert raw.log.read_text() == ""
