"""Python programs: threads, subprocess, multiprocessing, asyncio, HTTP, sqlite3, venv with pip."""

import zipfile
from pathlib import Path

import pytest

from tests.harness.configuration import PROGRAMS
from tests.harness.programs import Comparison, made_once, need

pytestmark = pytest.mark.configs(*PROGRAMS)
PYTHON = "/usr/bin/python3"


@pytest.mark.parametrize("name", ["threads", "subprocess", "asyncio", "http", "sqlite"])
def test_script(both: Comparison, name: str) -> None:
    both.script(f"py_{name}.py")
    result = both.same([PYTHON, f"py_{name}.py"])
    assert result.status == 0, result


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(both: Comparison, method: str) -> None:
    both.script("py_multiprocessing.py")
    result = both.same([PYTHON, "py_multiprocessing.py", method])
    assert result.status == 0, result
    assert "counted 300\n" in result.stdout


def test_uncaught_exception(both: Comparison) -> None:
    result = both.same([PYTHON, "-c", "import os; os.read(999, 1)"])
    assert result.status == 1
    assert result.stderr.endswith("OSError: [Errno 9] Bad file descriptor\n")


def _write_wheel(directory: Path) -> None:
    with zipfile.ZipFile(directory / "demo-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("demo/__init__.py", "def main():\n    print('installed and run')\n")
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo:main\n")
        wheel.writestr("demo-1.0.dist-info/RECORD", "")


def test_venv_and_pip(both: Comparison) -> None:
    if (
        not list(Path("/usr/share").glob("python-wheels/pip-*.whl"))
        and not Path("/usr/lib/python3.11/ensurepip").exists()
    ):
        need("python3.11-venv-marker", "python3-venv")
    both.put(made_once("wheel", _write_wheel) / "demo-1.0-py3-none-any.whl")
    install = "env/bin/pip install -q --no-index --disable-pip-version-check --no-cache-dir ./demo-1.0-py3-none-any.whl"
    script = f"set -e; {PYTHON} -m venv env; {install}; env/bin/demo; env/bin/pip list --format=freeze | grep demo"
    result = both.same(["bash", "-c", script])
    assert result.stdout == "installed and run\ndemo==1.0\n"
