"""The command line of a runtime: what is a verb's and what is not, options in every spelling, errors in runc's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pysentry.cli.kill import signal_number
from pysentry.cli.options import GLOBAL, OCI
from pysentry.cli.plain import UnknownOption, parse_global, parse_verb
from pysentry.cli.verbs import is_ours
from pysentry.oci.errors import UsageError


def pysentry(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pysentry", *words], capture_output=True, text=True, check=False, input=stdin
    )


# As captured from engines; see the contract.
CAPTURED = [
    "--root /run/r --log /b/log.json --log-format json create --bundle /b --pid-file /b/p --no-pivot ID",
    "--root /run/r --log /b/log.json --log-format json --systemd-cgroup exec --process /tmp/p --detach --pid-file f ID",
    "--log-format=json --log D/oci-log create --bundle B --pid-file P --preserve-fds 2 --console-socket S ID",
    "--log-format=json --log D/oci-log exec --pid-file D --process F --detach --tty --preserve-fds 1 ID",
    "--root=R create --bundle B --pid-file P ID",
    "--root R kill ID 15",
    "kill --all ID 9",
    "kill -a ID KILL",
    "delete --force ID",
    "ps --format json ID",
    "update --resources=- ID",
    "update --resources - ID",
    "checkpoint --image-path I --work-path W --leave-running --tcp-established --file-locks --pre-dump ID",
    "restore --bundle B --pid-file P --detach --image-path I --work-path W ID",
    "events --interval=5s ID",
    "features",
]


@pytest.mark.parametrize("line", CAPTURED)
def test_what_engines_call_is_understood(line: str) -> None:
    words = line.split()
    assert is_ours(words)
    _, (verb, *rest) = parse_global(GLOBAL, words)
    _, found = parse_verb(OCI[verb], rest)
    least, most = OCI[verb].words
    assert least <= len(found) <= (most or 99)
    assert found[:1] == (["ID"] if verb != "features" else [])


@pytest.mark.parametrize(
    ("line", "is_verb"),
    [
        ("--root R run ID", True),
        ("run -b B ID", True),
        ("run ID --bundle B", False),  # the direct command runs ID: its words are its own
        ("run --bundle=B ID", True),
        ("run --detach ID", True),
        ("run -d ID", True),
        ("run ID", False),
        ("run ls -d", False),
        ("run -- ls", False),
        ("run -d -- ls", False),
        ("run --env -d ls", False),
        ("run --bind /a:/b ls", False),
        ("run -t ls", False),
        ("run", False),
        ("", False),
        ("--help", False),
        ("-h", False),
        ("--version", True),
        ("doctor", False),
        ("state x", True),
    ],
)
def test_which_run_is_meant(line: str, is_verb: bool) -> None:
    assert is_ours(line.split()) is is_verb


@pytest.mark.parametrize(
    ("verb", "line", "values", "words"),
    [
        ("kill", "x -a 9", {"all": True}, ["x", "9"]),
        ("delete", "-force x", {"force": True}, ["x"]),
        ("delete", "--force=false x", {"force": False}, ["x"]),
        ("delete", "-f -- -x", {"force": True}, ["-x"]),
        ("exec", "-e A=1 --env B=2 x ls -l --env", {"env": ["A=1", "B=2"]}, ["x", "ls", "-l", "--env"]),
        ("exec", "-p=f -d x", {"process": "f", "detach": True}, ["x"]),
        ("exec", "x -- ls", {}, ["x", "ls"]),
        ("ps", "x -ef", {}, ["x", "-ef"]),
        ("list", "-q -f json", {"quiet": True, "format": "json"}, []),
        ("create", "--pid-file= x", {"pid_file": ""}, ["x"]),
    ],
)
def test_options(verb: str, line: str, values: dict[str, object], words: list[str]) -> None:
    assert parse_verb(OCI[verb], line.split()) == (values, words)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--nope x", "flag provided but not defined: -nope"),
        ("x --bundle", "flag needs an argument: -bundle"),
        ("--no-pivot=maybe x", 'invalid boolean value "maybe" for -no-pivot'),
    ],
)
def test_bad_options(line: str, problem: str) -> None:
    with pytest.raises(UnknownOption, match=re.escape(problem)):
        parse_verb(OCI["create"], line.split())


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["state"], 1, '"state" requires exactly 1 argument(s)'),
        (["state", "a", "b"], 1, '"state" requires exactly 1 argument(s)'),
        (["kill"], 1, '"kill" requires a minimum of 1 argument(s)'),
        (["kill", "a", "b", "c"], 1, '"kill" requires a maximum of 2 argument(s)'),
        (["state", "--nope", "a"], 1, "flag provided but not defined: -nope"),
        (["frobnicate"], 1, "No help topic for 'frobnicate'"),
        (["state", "nobody"], 1, "container does not exist"),
        (["exec", "nobody", "true"], 255, "exec failed: container does not exist"),
        (["delete", "nobody"], 1, "container does not exist"),
        (["delete", "--force", "nobody"], 0, ""),
        (["create", ""], 1, "container id cannot be empty"),
        (["create", "../x"], 1, "invalid container ID format"),
        (["create", "a/b"], 1, "invalid container ID format"),
        (["create", "x" * 1025], 1, "invalid container ID format"),
        (["delete", "--force", ".."], 1, "invalid container ID format"),
        (["create", "--bundle", "/no/such", "x"], 1, "chdir /no/such: no such file or directory"),
        (["kill", "nobody", "FOO"], 1, 'unknown signal "FOO"'),
        (["create", "--preserve-fds", "x", "y"], 1, 'invalid value "x" for flag -preserve-fds'),
        (["checkpoint", "x"], 1, "checkpoint is not supported"),
        (["restore", "x"], 1, "restore is not supported"),
    ],
)
def test_errors(tmp_path: Path, words: list[str], status: int, line: str) -> None:
    """The same text in the log, as one JSON line, and on stderr."""
    log = tmp_path / "log"
    done = pysentry("--root", str(tmp_path / "root"), "--log", str(log), "--log-format", "json", *words)
    assert done.returncode == status
    assert done.stdout == ""
    written = log.read_text()
    if status == 0:
        assert (written, done.stderr) == ("", "")
        return
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    entry = json.loads(written)
    assert set(entry) == {"level", "msg", "time"}
    assert entry["level"] == "error"
    assert entry["msg"] + "\n" == done.stderr
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    assert not list((tmp_path / "root").glob("*"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--nope", "list"], "flag provided but not defined: -nope"),
        (["--root", "/", "list"], "should not be set to /"),
        (["--log-format", "xml", "list"], "log_format"),
        (["--platform", "kvm", "list"], "--platform"),
        (["--root", "/tmp/x"], "no verb given"),
        (["--root", "/tmp/x", "run", "--", "ls"], "stand after `run`"),
        (["--log", "/no/such/log", "list"], "open /no/such/log"),
    ],
)
def test_bad_global_options(words: list[str], line: str) -> None:
    done = pysentry(*words)
    assert done.returncode == 1
    assert line.replace("_", "-") in done.stderr.replace("_", "-")


def test_text_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pysentry("--log", str(log), "--root", str(tmp_path / "r"), "state", "nobody")
    assert re.fullmatch(r'time="[^"]+Z" level=error msg="container does not exist"\n', log.read_text())


def test_list_of_nothing(tmp_path: Path) -> None:
    root = f"--root={tmp_path / 'none'}"
    assert pysentry(root, "list").stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert json.loads(pysentry(root, "list", "--format", "json").stdout) == []
    assert pysentry(root, "list", "-q").stdout == ""
    assert pysentry(root, "list", "--format", "xml").returncode == 1


def test_features_and_spec(tmp_path: Path) -> None:
    assert {"ociVersionMin", "ociVersionMax", "hooks", "linux"} <= set(json.loads(pysentry("features").stdout))
    assert pysentry("spec", "--bundle", str(tmp_path)).returncode == 0
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    again = pysentry("spec", "--bundle", str(tmp_path))
    assert again.returncode == 1
    assert "file config.json exists" in again.stderr


@pytest.mark.parametrize("verb", OCI)
def test_help(verb: str) -> None:
    if verb == "run":
        pytest.skip("its help is the direct command's, and names the verb")
    done = pysentry(verb, "--help")
    assert done.returncode == 0
    shown = [option.name for option in OCI[verb].options if option.help]
    assert all(f"--{name}" in done.stdout for name in shown)


def test_help_of_run_names_both_forms() -> None:
    assert "--bundle" in pysentry("run", "--help").stdout


@pytest.mark.parametrize(
    ("word", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("0", 0), ("RTMIN+3", 37), ("SIGRTMAX", 64), ("64", 64)],
)
def test_signals(word: str, number: int) -> None:
    assert signal_number(word) == number


@pytest.mark.parametrize("word", ["FOO", "65", "-1", "SIG", "KILL+1", "_DFL", "RTMIN+x", "RTMIN+99", "9x"])
def test_bad_signals(word: str) -> None:
    with pytest.raises(UsageError, match="unknown signal"):
        signal_number(word)


def test_verbs_import_nothing_slow(tmp_path: Path) -> None:
    """Engines call them after every step."""
    program = (
        "import sys\n"
        "from pysentry.cli import entry\n"
        "for verb in ('state', 'kill', 'delete', 'start', 'pause'):\n"
        f"    entry.dispatch(['--root', {str(tmp_path)!r}, verb, 'nobody'])\n"
        "slow = {'click', 're', 'typing', 'enum', 'json', 'subprocess', 'argparse', 'logging', 'tomllib', 'tempfile'}\n"
        "slow &= set(sys.modules)\n"
        "sys.exit(str(sorted(slow)) if slow else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"], check=False
    )
    assert done.returncode == 0
