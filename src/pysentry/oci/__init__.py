"""An OCI runtime on top of the sandbox: bundles, containers and their states, hooks, cgroups.

Owns what runtime-spec asks for. Does not own how a sandbox works (pysentry.sandbox) nor the command line (pysentry.cli).
"""
