"""`python -m bench.floor`: what a trapped call costs at least here, by a server in C that only receives and answers.

Says how much of the row "trapped no-op call" is the mechanism's and how much the sentry's. Compiles floor.c into a
directory of its own and runs each variant a few times, in turns; the smallest value counts, as whatever else runs only
adds to it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TURNS = 5
VARIANTS = {
    "a server that receives and answers": (0, 0, 0),
    "the call under pysentry's filter": (0, 1, 0),
    "and traced, in namespaces of its own": (0, 1, 1),
    "and in a session of its own": (1, 1, 1),
}
TIMEOUT_S = 60


def measure(program: Path) -> dict[str, tuple[float, float]]:
    """(native, trapped) in ns by variant. Raises subprocess.CalledProcessError: a variant cannot be had here."""
    best: dict[str, tuple[float, float]] = {}
    for _ in range(TURNS):
        for name, words in VARIANTS.items():
            command = [program, *map(str, words)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
            native, trapped = map(float, done.stdout.split())
            before = best.get(name, (native, trapped))
            best[name] = min(before[0], native), min(before[1], trapped)
    return best


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "floor"
        source = Path(__file__).with_name("floor.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
        found = measure(program)
    native = min(pair[0] for pair in found.values())
    print(f"{'getuid, answered by':40} {'µs':>6} {'x':>6}")
    print(f"{'the host kernel':40} {native / 1000:6.2f} {1:6.1f}")
    for name, (_, trapped) in found.items():
        print(f"{name:40} {trapped / 1000:6.2f} {trapped / native:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
