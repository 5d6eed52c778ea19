"""Sockets: AF_UNIX inside the sandbox, AF_INET and AF_INET6 on host sockets of the sandbox's network namespace."""
