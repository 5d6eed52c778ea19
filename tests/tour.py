"""`make run`: real programs in the sandbox, as root and as an unprivileged user. Prints each command and what it said.

Run by hand or by `make run`; exit status 0 if all of them did what they do natively.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness import checkout
from tests.harness.runner import BASE

PROGRAM = r"""
#include <stdio.h>
int main(void) { puts("compiled and run inside"); return 0; }
"""
THREADS = """
import threading
workers = [threading.Thread(target=print, args=("thread", n)) for n in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""
SERVER = """
import http.server, threading, urllib.request
server = http.server.HTTPServer(("127.0.0.1", 8080), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("HTTP", urllib.request.urlopen("http://127.0.0.1:8080/").status)
"""
TOUR = (
    ("a program", ["/bin/echo", "hello from the sandbox"]),
    ("a pipeline", ["bash", "-c", "seq 1 1000 | grep 7 | sort -rn | head -3"]),
    ("Python", ["python3", "-c", "import os, sys; print('pid', os.getpid(), 'Python', sys.version.split()[0])"]),
    ("threads", ["python3", "-c", THREADS]),
    ("a compiler", ["bash", "-c", f"cd /tmp && printf '%s' '{PROGRAM}' > a.c && gcc -o a a.c && ./a"]),
    ("writes stay inside", ["bash", "-c", "echo gone > /var/tmp/pysentry-was-here && ls /var/tmp/pysentry-was-here"]),
    ("a network of its own", ["python3", "-c", SERVER]),
    ("statistics", ["--stats", "--", "find", "/usr/share/doc", "-maxdepth", "1", "-name", "bash*"]),
)


def main() -> int:
    users = [("root", False), ("an unprivileged user", True)] if os.geteuid() == 0 else [("an unprivileged user", True)]
    failed = []
    for who, is_unprivileged in users:
        print(f"\n==== as {who}", flush=True)
        for title, words in TOUR:
            if not run(title, words, is_unprivileged):
                failed.append(f"{title} as {who}")
    print(f"\n{'failed: ' + ', '.join(failed) if failed else 'all of it ran'}", flush=True)
    return 1 if failed else 0


def run(title: str, words: list[str], is_unprivileged: bool) -> bool:
    """Prints one step; whether its exit status was 0."""
    options = words[: words.index("--") + 1] if "--" in words else []
    program = words[len(options) :]
    shown = " ".join(program).replace("\n", " ")
    print(f"\n-- {title}: pysentry run {' '.join([*options, shown])[:110]}", flush=True)
    as_root = os.geteuid() == 0
    BASE.mkdir(mode=0o755, exist_ok=True)
    command = checkout.command_for_unprivileged(BASE) if is_unprivileged and as_root else checkout.command()
    started = time.monotonic()
    done = subprocess.run(
        [str(command), "run", *options, *([] if options else ["--"]), *program],
        cwd="/",
        check=False,
        user="nobody" if is_unprivileged and as_root else None,
        group="nogroup" if is_unprivileged and as_root else None,
        extra_groups=[] if is_unprivileged and as_root else None,
        timeout=120,
    )
    print(f"   status {done.returncode}, {time.monotonic() - started:.2f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
