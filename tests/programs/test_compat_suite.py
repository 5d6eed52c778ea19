"""The whole of pysentry-compat: on a few guests, and on a made-up LTP installation, killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.checkout import ROOT
from tests.harness.configuration import is_root
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.programs import need

pytestmark = pytest.mark.skipif(not is_root(), reason="native runs need a user namespace with all ids")

# crun refuses a machine whose version 2 hierarchy has a controller beside those of version 1.
WITHOUT_V2 = """'if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec crun "$@"' crun"""
OTHERS = {
    "runc": "runc",
    "crun": f"crun=unshare -m sh -c {WITHOUT_V2}",
    "runsc": "runsc=runsc --platform=ptrace --network=none",
}
SCRIPTS = {"pass01": "exit 0", "fail01": "echo TFAIL: no; exit 1", "skip01": "echo TCONF: none; exit 32"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.compat", "--no-progress", "-j2", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.fixture
def ltp() -> Iterator[Path]:
    """Not below /tmp, which sandboxes don't show."""
    with tempfile.TemporaryDirectory(prefix="compat-ltp-", dir="/var/tmp") as directory:
        yield install(Path(directory))


def install(installed: Path) -> Path:
    installed.chmod(0o755)
    programs = installed / "testcases/bin"
    programs.mkdir(parents=True)
    (installed / "runtest").mkdir()
    for name, script in SCRIPTS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (installed / "runtest/syscalls").write_text("".join(f"{name} {name}\n" for name in SCRIPTS))
    return installed


def test_a_few_guests_natively_and_sandboxed(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    done = run("--sources=guests", "--only=guests:pipe.*", "--runtimes=native,seccomp", f"--results={results}")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(results.with_suffix(".json").read_text())
    (row,) = told["sources"]
    assert row["native"]["passed"] == row["by_runtime"]["seccomp"]["passed"] > 10
    assert "<title>Syscall compatibility</title>" in results.with_suffix(".html").read_text()
    assert "| pipe |" in results.with_suffix(".md").read_text()


@pytest.mark.parametrize("name", ["runc", "crun", "runsc"])
def test_a_few_guests_under_another_runtime(name: str, tmp_path: Path) -> None:
    need(name, name)
    results = tmp_path / "results.jsonl"
    only = "--only=guests:pipe.s*"
    done = run("--sources=guests", only, "--runtimes=native", f"--oci={OTHERS[name]}", f"--results={results}")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(results.with_suffix(".json").read_text())["sources"]
    assert row["native"]["passed"] == row["by_runtime"][name]["passed"] > 1, done.stdout


def test_a_regression_is_the_exit_status(tmp_path: Path) -> None:
    results, baseline = tmp_path / "results.jsonl", tmp_path / "baseline.json"
    only = ["--sources=guests", "--only=guests:pipe.pipe2_flags", f"--results={results}", f"--baseline={baseline}"]
    assert run(*only, "--write-baseline").returncode == 0
    assert json.loads(baseline.read_text())["tests"] == {"guests:pipe.pipe2_flags": "pass pass"}
    worse = json.loads(results.read_text().splitlines()[-1]) | {"outcome": "fail", "cause": "made worse"}
    with open(results, "a") as file:
        file.write(json.dumps(worse) + "\n")
    done = run(*only, "--report-only")
    assert done.returncode == 1
    assert "regressed: guests:pipe.pipe2_flags [seccomp] made worse" in done.stdout


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, ltp: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ["--sources=ltp", f"--ltp={ltp}", "--runtimes=native", f"--results={results}"]
    hanging = ltp / "testcases/bin/hang01"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    with open(ltp / "runtest/syscalls", "a") as file:
        file.write("hang01 hang01\n")
    process = subprocess.Popen(command(*arguments), cwd=ROOT)
    try:
        wait_until(
            lambda: results.exists() and len(results.read_text().splitlines()) > len(SCRIPTS), "the last one runs"
        )
    finally:
        process.kill()
        process.wait()
    hanging.write_text("#!/bin/sh\nexit 0\n")
    assert run(*arguments).returncode == 0
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    ran = [line["key"] for line in lines if "key" in line]
    assert sorted(ran) == sorted(f"ltp:{name}" for name in [*SCRIPTS, "hang01"])
    outcomes = {line["key"]: line["outcome"] for line in lines if "key" in line}
    assert outcomes == {"ltp:pass01": "pass", "ltp:fail01": "fail", "ltp:skip01": "skip", "ltp:hang01": "pass"}


def test_bad_usage_is_said(tmp_path: Path) -> None:
    for arguments, said in (
        (["--sources=ltp"], "--ltp DIR"),
        (["--runtimes=kvm", "--sources=guests"], "no runtime kvm"),
        (["--oci=/nowhere/runsc", "--sources=guests"], "is not there"),
    ):
        done = run(*arguments, f"--results={tmp_path / os.urandom(4).hex()}")
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
