"""What builds and installs: Java, npm, cargo, Go, make, git, apt-get."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.programs import SCRIPTS, made_once, need, script
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("native", "seccomp")

JAVA = """openjdk version
sum 2047968000
pool true
turns 200
through a socket
written 7
from a child
child 3
a null pointer is an exception
hook
ended 7
"""

NPM = """    "library": "file:../library"
42
npm test 7
ENOTCACHED
"""

CARGO = """49995000
ended 9
test result: ok. 2 passed
   Compiling summing v0.1.0
"""

GIT_CLONE = """1
51
01c39d6b543073de20557c491ca0983b25b85547
change
"""

MAKE_JOBS = """works
works
2
make -q 1
"""

GO_NETWORK = """1 lo 65536 true true 127.0.0.1/8
1 <nil>
sum 12497500
echoed 122500
"""


def test_java(runner: Runner) -> None:
    need("javac", "openjdk-17-jdk-headless")
    result = runner.run(["bash", script(runner, "java.sh")])
    assert result.stdout == JAVA, result


def test_npm(runner: Runner) -> None:
    need("npm", "npm")
    result = runner.run(["bash", script(runner, "npm.sh")])
    assert result.stdout == NPM, result


def test_cargo(runner: Runner) -> None:
    need("cargo", "cargo")
    result = runner.run(["bash", script(runner, "cargo.sh")])
    assert result.stdout == CARGO, result


def _build_go_network(directory: Path) -> None:
    environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-o", str(directory / "program"), str(SCRIPTS / "go_network.go")]
    subprocess.run(command, check=True, timeout=400, env=environment)


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_go_interfaces_and_goroutines(runner: Runner) -> None:
    need("go", "golang-go")
    result = runner.run([made_once("go_network", _build_go_network) / "program"])
    assert result.stdout == GO_NETWORK, result


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_make_with_two_jobs(runner: Runner) -> None:
    need("gcc", "gcc")
    need("make", "make")
    result = runner.run(["bash", script(runner, "make_jobs.sh")])
    assert result.stdout == MAKE_JOBS, result


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_git_clone_of_a_file_url(runner: Runner) -> None:
    need("git", "git")
    result = runner.run(["bash", script(runner, "git_clone.sh")])
    assert result.stdout == GIT_CLONE, result


@pytest.mark.configs("seccomp", "user")
def test_apt_get_without_a_network_says_so(runner: Runner) -> None:
    if subprocess.run(["apt-cache", "show", "hello"], capture_output=True).returncode:
        pytest.skip("no package lists here (apt-get update)")
    result = runner.run(["apt-get", "-q", "-o", "Acquire::Retries=0", "download", "hello"])
    assert result.status == 100, result
    assert "E: Failed to fetch http" in result.stderr, result


@pytest.mark.configs("seccomp", "user")
def test_curl_without_a_network_says_so(runner: Runner) -> None:
    need("curl", "curl")
    result = runner.run(["curl", "-sS", "http://deb.debian.org/"])
    assert (result.status, result.stderr) == (6, "curl: (6) Could not resolve host: deb.debian.org\n")
