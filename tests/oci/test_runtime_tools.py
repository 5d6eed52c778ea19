"""The `validation` programs of opencontainers/runtime-tools, where a built checkout is given by its path.

PYSENTRY_RUNTIME_TOOLS=DIR: `make runtimetest validation-executables` was run there. crun's score is had by
`--oci-runtimes=crun`; what fails is in block_lists/runtime-tools.toml.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.engine_host import EngineHost
from tests.harness.suites import install_path, judge, need_install
from tests.oci.conftest import Runtime

VARIABLE = "PYSENTRY_RUNTIME_TOOLS"
TIMEOUT_S = 300.0


def programs() -> list[str]:
    install = install_path(VARIABLE)
    found = sorted(path.stem for path in install.glob("validation/*/*.t")) if install else []
    return found or ["any"]


@pytest.fixture
def install() -> Path:
    return need_install(VARIABLE, "opencontainers/runtime-tools with its validation programs built")


@pytest.mark.parametrize("program", programs())
def test_validation(install: Path, machine: EngineHost, oci_runtime: Runtime, program: str) -> None:
    executable = next(install.glob(f"validation/*/{program}.t"), None)
    assert executable is not None, f"no program is built below {install}/validation"
    done = machine.run(
        ["env", f"--chdir={install}", executable],
        status=None,
        timeout_s=TIMEOUT_S,
        env={"RUNTIME": str(oci_runtime.path)},
    )
    checks = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "not ok "))]
    asserted = [line for line in checks if "# SKIP" not in line.upper()]
    print(done)
    if done.status == 0 and not asserted:
        outcome = "skip"
    else:
        outcome = "pass" if done.status == 0 and all(line.startswith("ok") for line in asserted) else "fail"
    judge("runtime-tools", oci_runtime.name, {program: outcome})
    if outcome == "fail":
        pytest.xfail("on the block list")
    if outcome == "skip":
        pytest.skip(f"{program} asserts nothing here")
