"""Native code and the module pack: cffi builds both extensions in API mode during an ordinary `pip install .`.

Everything else is in pyproject.toml.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPack(build_py):
    """Adds the pack of all modules (src/pysentry/cli/pack.py), which a start reads instead of a hundred files."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # there the Makefile writes it, beside the sources
            pack = Path(__file__).resolve().parent / "src/pysentry/cli/pack.py"
            subprocess.run([sys.executable, str(pack), str(Path(self.build_lib).resolve()), "--installed"], check=True)


setup(
    cffi_modules=["native/build.py:ffibuilder", "native/gofer/build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithPack},
)
