"""The kernel's objects: tasks, descriptors, pipes, timers, signals, credentials. Handlers in syscalls/ are thin over these."""
