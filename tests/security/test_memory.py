"""A workload that fills memory is who pays for it: in a small cgroup it gets ENOSPC, SIGBUS or the OOM killer's
SIGKILL, and what is left of it runs on to its end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.compat import memory_limit
from bench.compat.memory_limit import MemoryLimit
from tests.harness.configuration import is_root
from tests.harness.runner import Result, Runner

pytestmark = [
    pytest.mark.configs("seccomp", "ptrace"),
    pytest.mark.skipif(not is_root(), reason="a memory cgroup needs root"),
]

LIMIT_BYTES = 256 << 20


@pytest.fixture
def limit() -> Iterator[MemoryLimit]:
    made = memory_limit.make(LIMIT_BYTES)
    if made is None:
        pytest.skip("no memory cgroup can be made here")
    yield made
    made.remove()


def run(runner: Runner, limit: MemoryLimit, script: str) -> Result:
    return runner.run(["sh", "-c", script], options=["--tmpfs=/mnt"], preexec_fn=limit.join)


@pytest.mark.parametrize("directory", ["/mnt", "."], ids=["tmpfs", "overlay"])
def test_files_have_a_limit(runner: Runner, limit: MemoryLimit, directory: str) -> None:
    """Less than the cgroup's: nobody is killed, and what was removed can be written again."""
    script = f"""
        cd {directory}
        head -c {LIMIT_BYTES + 1} /dev/zero >big; echo $?
        rm big
        head -c {LIMIT_BYTES // 2} /dev/zero >half; echo $?
        cp half other; echo $?
    """
    result = run(runner, limit, script)
    assert (result.status, result.stdout) == (0, "1\n0\n1\n"), result
    assert result.stderr.count("No space left on device") == 2, result


def test_the_limit_is_shown(runner: Runner, limit: MemoryLimit) -> None:
    result = run(runner, limit, "stat -f -c '%b %S' /mnt .")
    for line in result.stdout.splitlines():
        blocks, size = map(int, line.split())
        assert blocks * size == LIMIT_BYTES * 3 // 4, result


def test_a_mapped_file_beyond_the_limit(runner: Runner, limit: MemoryLimit) -> None:
    program = f"""
import mmap, os
fd = os.open("/mnt/sparse", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, {LIMIT_BYTES})
memory = mmap.mmap(fd, {LIMIT_BYTES})
for at in range(0, {LIMIT_BYTES}, 4096):
    memory[at] = 1
"""
    result = run(runner, limit, f"/usr/bin/python3 -c '{program}'; echo $?")
    assert (result.status, result.stdout) == (0, "135\n"), result


TAKES_ALL = {
    "anonymous": "while True: kept.append(b'x' * (1 << 20))",
    "memfd": "fd = os.memfd_create('x')\nwhile True: os.write(fd, kept[0])",
    "memfd-with-seals": "fd = os.memfd_create('x', os.MFD_ALLOW_SEALING)\nwhile True: os.write(fd, kept[0])",
    "mapped-memfds": """
import mmap
while True:
    kept.append(os.memfd_create('x', os.MFD_ALLOW_SEALING))
    os.ftruncate(kept[-1], 1 << 24)
    kept.append(mmap.mmap(kept[-1], 1 << 24))
    kept[-1].write(kept[0] * 16)""",
    "segments": """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
while True:
    identifier = libc.shmget(0, 1 << 24, 0o600)
    ctypes.memset(libc.shmat(identifier, None, 0), 1, 1 << 24)""",
}
ENDS = {"anonymous": 137, "memfd": 1, "memfd-with-seals": 1, "mapped-memfds": 1, "segments": 135}


@pytest.mark.parametrize("name", TAKES_ALL)
def test_who_takes_all_memory_is_killed(runner: Runner, limit: MemoryLimit, name: str) -> None:
    """Not the shell, which is small, nor the sentry or the gofer: a killed program, or one that is told in time."""
    program = f"import os\nkept = [b'x' * (1 << 20)]\n{TAKES_ALL[name]}"
    result = run(runner, limit, f'/usr/bin/python3 -c "{program}" 2>/dev/null; echo $?')
    assert (result.status, result.stdout) == (0, f"{ENDS[name]}\n"), result
