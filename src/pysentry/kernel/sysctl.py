"""Settings of /proc/sys that take effect: their values now. What is there to read and write is proc_sys.py's."""

from __future__ import annotations

AIO_MAX = "fs/aio-max-nr"
PIPE_MAX_SIZE = "fs/pipe-max-size"
INOTIFY_MAX_QUEUED = "fs/inotify/max_queued_events"
INOTIFY_MAX_WATCHES = "fs/inotify/max_user_watches"
INOTIFY_MAX_INSTANCES = "fs/inotify/max_user_instances"
DIR_NOTIFY = "fs/dir-notify-enable"
LEASE_BREAK_TIME = "fs/lease-break-time"  # seconds
UNPRIVILEGED_PORT_START = "net/ipv4/ip_unprivileged_port_start"

values: dict[str, int] = {
    AIO_MAX: 65536,
    PIPE_MAX_SIZE: 1 << 20,
    INOTIFY_MAX_QUEUED: 16384,
    INOTIFY_MAX_WATCHES: 65536,
    INOTIFY_MAX_INSTANCES: 128,
    DIR_NOTIFY: 1,
    LEASE_BREAK_TIME: 45,
    UNPRIVILEGED_PORT_START: 1024,
}
