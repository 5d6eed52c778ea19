"""The benchmark: the same work without a sandbox, in pysentry and in other sandboxes, side by side in one run.

Owns what is measured, how, and how it is shown. Knows pysentry only as a command line, like the other runtimes; imports
nothing from it. `python -m bench` from the root of the repo; README.md beside this file says how to read the result.
"""
