"""The syscall-compat suite: the same tests natively, under pysentry and under OCI runtimes. See README.md."""
