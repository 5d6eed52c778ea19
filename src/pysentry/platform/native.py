"""The one place that imports the native module: `ffi` for memory and casts, `lib` for the engine's functions."""

from __future__ import annotations

from pysentry._native import ffi, lib

__all__ = ["ffi", "lib"]
