"""runc's own integration tests (bats) with the runtime under test in runc's place, where a checkout of runc is given.

PYSENTRY_RUNC_TESTS=DIR: a checkout of opencontainers/runc whose helper programs are built (`make test-binaries`) and
whose images (busybox-amd64.tar.xz, debian-amd64.tar.xz) are in tests/integration/testdata. What fails is in
block_lists/runc-bats.toml; the files that ask for what no sandbox has are not run (LEFT_OUT).
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine_host import EngineHost, remove_cgroups
from tests.harness.programs import install as install_packages
from tests.harness.programs import need
from tests.harness.suites import install_path, judge, need_install
from tests.oci.conftest import Runtime

VARIABLE = "PYSENTRY_RUNC_TESTS"
PACKAGES = ("bats", "jq", "gawk", "golang-go")
TIMEOUT_S = 900.0
CGROUPS = ("*/test_*", "*/ct[0-9]*", "*/runc-cgroups-integration-test")
"""What the tests call their containers, and so their cgroups: those are no namespace's."""
LEFT_OUT = {
    "checkpoint": "checkpoint and restore are refused",
    "help": "the wording of runc's own help",
    "hooks_so": "builds a library with which hooks change the root before pivot_root",
    "idmap": "id-mapped mounts are refused",
    "mounts_sshfs": "needs sshfs, and a host with FUSE",
    "seccomp-notify": "SCMP_ACT_NOTIFY is refused",
    "seccomp-notify-compat": "SCMP_ACT_NOTIFY is refused",
    "selinux": "needs a host with SELinux",
    "spec": "fetches runtime-spec",
    "timens": "time namespaces are refused",
}
RESULT = re.compile(r"(ok|not ok) \d+ (.*?)(?: # skip(?: (.*))?| in \d+ms)?$")


def files() -> list[str]:
    install = install_path(VARIABLE)
    found = sorted(path.stem for path in install.glob("tests/integration/*.bats")) if install else []
    return [name for name in found if name not in LEFT_OUT] or ["any"]


@pytest.fixture
def install() -> Path:
    directory = need_install(VARIABLE, "a checkout of opencontainers/runc with its test programs built")
    reason = install_packages(*PACKAGES)
    if reason is not None:
        pytest.skip(f"needs {', '.join(PACKAGES)}: {reason}")
    return directory


@pytest.fixture
def own_machine() -> Iterator[EngineHost]:
    """One for each file: what a failed test leaves would fail those of others."""
    if os.geteuid() != 0:
        pytest.skip("needs root: runtimes run in namespaces of their own")
    host = EngineHost(Path(tempfile.mkdtemp(prefix="bats-")))  # short: sockets lie below it
    try:
        yield host
    finally:
        host.close()
        for path in itertools.chain.from_iterable(Path("/sys/fs/cgroup").glob(name) for name in CGROUPS):
            remove_cgroups(path)


@pytest.mark.parametrize("name", files())
def test_bats(install: Path, own_machine: EngineHost, oci_runtime: Runtime, name: str) -> None:
    done = own_machine.run(
        [need("bats", "bats"), "--tap", install / "tests" / "integration" / f"{name}.bats"],
        status=None,
        timeout_s=TIMEOUT_S,
        env={"RUNC": str(oci_runtime.path), "TMPDIR": str(own_machine.directory), "HOME": "/root"},
    )
    print(done)
    outcomes = {}
    for line in done.stdout.splitlines():
        if found := RESULT.match(line):
            result, test, skipped = found.groups()
            is_skipped = skipped is not None or line.endswith("# skip")
            outcomes[f"{name}: {test}"] = "skip" if is_skipped else "pass" if result == "ok" else "fail"
    assert outcomes, "bats reported no test"
    judge("runc-bats", oci_runtime.name, outcomes)
