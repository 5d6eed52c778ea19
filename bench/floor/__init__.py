"""The least that a trapped call can cost on this machine. See bench/README.md."""
