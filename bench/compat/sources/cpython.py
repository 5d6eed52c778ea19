"""CPython's regression tests as Debian installs them (libpython3.11-testsuite): one module a case."""

from __future__ import annotations

import re
from pathlib import Path

from bench.compat.case import FAIL, PASS, SKIP, Case, Verdict

INTERPRETER = "/usr/bin/python3"
INSTALLED = Path("/usr/lib/python3.11/test")
TIME_LIMIT_S = 900.0
LIBRARY = "library"

# The modules that lean on the kernel most, by what they lean on; they run first. All others: --all-cpython.
FAMILIES = {
    "open": "test_os test_posix test_file test_fileio test_io test_largefile test_tempfile test_shutil",
    "dir": "test_pathlib test_glob test_posixpath test_zipfile test_tarfile test_mailbox test_dbm test_sqlite3",
    "stat": "test_stat",
    "process": "test_subprocess test_wait3 test_wait4 test_venv test_multiprocessing_fork test_multiprocessing_spawn",
    "futex": "test_threading test_thread test_concurrent_futures",
    "signal": "test_signal test_faulthandler",
    "socket": "test_socket test_socketserver test_asyncio test_httpservers test_ftplib test_ssl",
    "poll": "test_select test_selectors test_poll",
    "epoll": "test_epoll",
    "memory": "test_mmap",
    "io": "test_fcntl test_ioctl",
    "tty": "test_pty test_tty test_termios",
    "limits": "test_resource",
    "time": "test_time",
    "identity": "test_pwd test_grp",
}
LISTED = {module: family for family, modules in FAMILIES.items() for module in modules.split()}


def cases(has_all: bool) -> list[Case]:
    """The listed modules that are installed, then, if wanted, all others. Raises FileNotFoundError."""
    if not (INSTALLED / "test_os.py").exists():
        raise FileNotFoundError("apt-get install libpython3.11-testsuite")
    installed = {path.stem for path in INSTALLED.glob("test_*.py")}
    installed |= {path.parent.name for path in INSTALLED.glob("test_*/__init__.py")}
    modules = [module for module in LISTED if module in installed]
    if has_all:
        modules += sorted(installed - set(modules))
    return [
        Case(
            "cpython",
            module,
            LISTED.get(module, LIBRARY),
            # A shell is pid 1: some tests signal or wait for what only an ordinary process can. The resource "network"
            # is what servers on loopback ask for as well; what wants the internet notices that there is none.
            ("/bin/sh", "-c", f"{INTERPRETER} -m test -W -unetwork {module}; exit $?"),
            TIME_LIMIT_S,
            environment={"TMPDIR": "{place}", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        for module in modules
    ]


def judge(status: int, output: str) -> Verdict:
    """libregrtest: 0 also for a module that was skipped as a whole; 2 for a failure."""
    if status == 0:
        skipped = re.search(r"^\S+ skipped(?: -- (.*))?$", output, re.MULTILINE)
        if skipped or "1 test run no tests" in output or "NO TESTS RAN" in output:
            return Verdict(SKIP, (skipped[1] if skipped else None) or "ran no tests")
        return Verdict(PASS)
    if status > 128:
        return Verdict(FAIL, f"signal {status - 128}")
    failed = list(dict.fromkeys(re.findall(r"^(?:ERROR|FAIL): (\S+)", output, re.MULTILINE)))
    return Verdict(FAIL, f"{', '.join(failed[:6])}{', ...' if len(failed) > 6 else ''}" or f"status {status}")
