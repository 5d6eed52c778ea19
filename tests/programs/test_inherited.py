"""What a program has of the one that started it: umask, limits, environment, working directory."""

from __future__ import annotations

import resource

import pytest

from tests.harness.configuration import COMMAND
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("native", *COMMAND)

SCRIPT = "umask; ulimit -Sn; ulimit -St; ulimit -Ht; ulimit -Sf; pwd -P; echo $OWN; touch made; stat -c %A made"


def _set_limits() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, hard))
    resource.setrlimit(resource.RLIMIT_CPU, (5000, 6000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


def test_what_the_caller_had(runner: Runner) -> None:
    result = runner.run(["bash", "-c", SCRIPT], umask=0o027, preexec_fn=_set_limits, env={"OWN": "value"})
    assert result.stdout.split() == [
        "0027", "700", "5000", "6000", "1048576", str(runner.work), "value", "-rw-r-----",
    ]  # fmt: skip
