"""Booting a sandbox: gofer, namespaces, lock-up, terminal, limits."""
