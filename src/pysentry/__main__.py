"""`python -m pysentry` is the `pysentry` command."""

from pysentry.cli.entry import main

main()
