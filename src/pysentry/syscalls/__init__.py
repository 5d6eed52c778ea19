"""Handlers, one file per family of syscall_tables/linux: decoded arguments in, a value or an errno exception out."""
