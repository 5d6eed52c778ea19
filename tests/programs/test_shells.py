"""Shells: busybox sh, bash with 200 forks, here-documents and pipelines, job control in scripts."""

import pytest

from tests.harness.configuration import PROGRAMS
from tests.harness.programs import Comparison, need

pytestmark = pytest.mark.configs(*PROGRAMS)


def test_busybox_script(both: Comparison) -> None:
    busybox = need("busybox", "busybox-static")
    both.script("busybox.sh")
    result = both.same([busybox, "sh", "busybox.sh"])
    assert result.stdout.endswith("gone\nend|3\n")


def test_bash_with_many_forks(both: Comparison) -> None:
    both.script("bash_forks.sh")
    result = both.same(["bash", "bash_forks.sh"])
    assert result.stdout.startswith("total 20100\n")
    assert result.stdout.endswith("y\ny\n")


def test_job_control_in_a_script(both: Comparison) -> None:
    both.script("job_control.sh")
    result = both.same(["bash", "job_control.sh"])
    assert result.stdout.endswith("shares the group\nend 143\n")


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status(both: Comparison, status: int) -> None:
    assert both.same(["sh", "-c", f"exit {status}"]).status == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "USR1"])
def test_death_by_signal(both: Comparison, name: str) -> None:
    assert both.same(["sh", "-c", f"kill -{name} $$"]).status > 128


def test_standard_input(both: Comparison) -> None:
    text = b"".join(b"line %d\n" % n for n in range(30000))
    assert both.same(["sh", "-c", "head -n 2; wc -l"], stdin=text).stdout.startswith("line 0\nline 1\n")
    assert both.same(["cat"], stdin=text).stdout == text.decode()
    assert both.same(["sh", "-c", "echo out; echo err >&2"]).stderr == "err\n"


def test_output_to_a_reader_that_goes_away(both: Comparison) -> None:
    assert both.same(["bash", "-c", "yes | head -n 3; echo ${PIPESTATUS[0]}"]).stdout == "y\ny\ny\n141\n"
