"""Makes the repo's `bench` package importable: it is not installed, `python -m bench` finds it in the root."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)
