"""Where the programs of tests/syscalls and tests/programs run, and what must be true afterwards."""
