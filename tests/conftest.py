"""Fixtures of all tests: `runner` runs programs in each configuration (see harness/); nothing is left behind.

pytest --configs=native             only the proof that the tests hold on Linux
pytest --configs=seccomp,ptrace     only these, as far as a test runs in them
pytest --oci-runtimes=runc tests/oci  the engines' tests with another runtime: the proof that they hold
pytest --all-configs                every test in every configuration
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness import checkout, leftovers
from tests.harness.configuration import ALL, DEFAULT, is_root
from tests.harness.runner import BASE, SESSION_VARIABLE, Runner, place_for, session_directory


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--configs", default="", help="only these configurations, by comma: " + ", ".join(ALL))
    parser.addoption("--oci-runtimes", default="pysentry", help="runtimes of tests/oci, by comma: pysentry, runc, crun")
    parser.addoption("--oci-platform", default="", help="of raw containers in tests/oci: seccomp, ptrace")
    parser.addoption("--all-configs", action="store_true", help="every configuration, also where a test names fewer")


# The same examples every time: a change is judged by what it changes. New ones are looked for by hand.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("new", database=None)
hypothesis.settings.load_profile("new" if "PYSENTRY_NEW_EXAMPLES" in os.environ else "same")

KEPT = "/pysentry-guests"  # compiled guest programs
OWNS_SESSION = pytest.StashKey[bool]()
HAS_FAILED = pytest.StashKey[bool]()
HOST_BEFORE = pytest.StashKey[frozenset[str]]()


def pytest_configure(config: pytest.Config) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # by nohup, or by a shell that put us into the background
            signal.signal(number, lambda *_: None)  # we go on ignoring it; what we start begins with the default
    config.addinivalue_line("markers", "both_platforms: the test's raw containers run on seccomp and on ptrace")
    config.addinivalue_line("markers", "configs(*names): the configurations that the `runner` of a test goes through")
    # xdist's workers inherit it, and so does the pytest that a test of ours starts (test_sanitizers.py).
    config.stash[OWNS_SESSION] = SESSION_VARIABLE not in os.environ
    if config.stash[OWNS_SESSION]:
        os.environ[SESSION_VARIABLE] = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        remove_dead_sessions()
        BASE.mkdir(mode=0o755, exist_ok=True)
        config.stash[HOST_BEFORE] = leftovers.host_state()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No mount, cgroup or file of ours that was not there before: looked at once, when all xdist workers have ended, as
    each sees what the tests of the others have just then."""
    config = session.config
    if config.stash[OWNS_SESSION]:
        shutil.rmtree(BASE / os.environ[SESSION_VARIABLE], ignore_errors=True)
        left = [name for name in leftovers.host_state() - config.stash[HOST_BEFORE] if not name.endswith(KEPT)]
        is_alone = not remove_dead_sessions()
        if left:
            if is_alone:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                whose = "" if is_alone else " by us or by the tests that run beside us"
                reporter.write_line("\n".join(["", f"left behind on the host{whose}:", *sorted(left)]), red=is_alone)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[HAS_FAILED] = report.failed or item.stash.get(HAS_FAILED, False)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that failed half-way may have left processes: they are no failure of the next one."""
    done = yield
    if item.stash.get(HAS_FAILED, False):
        leftovers.end_orphans((), 1.0)
    return done


def remove_dead_sessions() -> list[Path]:
    """What sessions that were killed could not remove themselves. Returns the directories of those that live."""
    living = []
    for directory in BASE.glob("[0-9]*-*"):
        if Path("/proc", directory.name.split("-")[0]).exists():
            living.append(directory)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return living


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runner" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("configs")
    names = list(marker.args if marker else DEFAULT)
    if metafunc.config.getoption("--all-configs"):
        names = list(ALL)
    wanted = [name for name in str(metafunc.config.getoption("--configs")).split(",") if name]
    for name in wanted:
        if name not in ALL:
            raise pytest.UsageError(f"--configs: no configuration {name}; there are {', '.join(ALL)}")
    if wanted:
        names = [name for name in names if name in wanted]
    metafunc.parametrize("runner", names, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """At the end: no process that a test of this worker started."""
    leftovers.become_subreaper()
    yield
    left = leftovers.end_orphans(())
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A place to run programs in one configuration (indirect parameter: its name)."""
    configuration = ALL[request.param]
    if not configuration.unprivileged and not is_root():
        pytest.skip(f"configuration {configuration.name} needs root")
    command = None
    if not configuration.is_native:
        command = (
            checkout.command_for_unprivileged(session_directory()) if configuration.unprivileged else checkout.command()
        )
    with place_for(configuration) as directory:
        yield Runner(configuration, directory, command)


@pytest.fixture
def native(request: pytest.FixtureRequest, runner: Runner) -> Iterator[Runner]:
    """Runs on the host as the same user, to compare with."""
    name = "native-user" if runner.configuration.unprivileged else "native"
    with place_for(ALL[name]) as directory:
        yield Runner(ALL[name], directory)
