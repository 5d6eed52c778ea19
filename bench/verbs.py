"""What the verbs of an OCI runtime cost: pysentry beside runc, crun and runsc, by their command lines.

    .venv/bin/python -m bench.verbs [--repeat N] [--rows state,kill] [--runtimes pysentry,runc] [--json FILE]

Needs root. The runtimes take turns as in `python -m bench`. A sample is the wall time of the command lines that the row
names, from the start of the first to the end of the last; what prepares and removes the container is not counted, but
where it is what the row is about. Rows of whole lives have the CPU time of all processes, too: on a loaded machine wall
times tell how the scheduler groups them. Exits with 1 if a command failed, not because of a time.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from bench.measure import rotated
from bench.processes import become_subreaper

ROOT = Path(__file__).resolve().parent.parent
CLONE_NEWNS = 0x20000
UNIFIED = Path("/sys/fs/cgroup/unified")
TIMEOUT_S = 120.0
AT_ONCE = 50
LEAST_MS = 60.0
"""A verb that takes no longer than this is fast enough, whatever runc takes."""
RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "pysentry": (str(ROOT / ".venv" / "bin" / "pysentry"),),
    "runc": ("runc",),
    "crun": ("crun",),
    "runsc": ("runsc", "--platform=ptrace", "--network=none"),
}
DEFAULT = tuple(RUNTIMES)


class Failed(Exception):
    """A command line did not do what it should; str() says which and what it printed."""


class Bench:
    """One runtime with a --root and a bundle of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._prefix = [*RUNTIMES[name], "--root", str(directory / "state")]
        self._directory = directory
        self._count = 0
        self._identities: list[str] = []
        self._ended: set[int] = set()
        directory.mkdir()
        for name, argv in (("true", ["/bin/true"]), ("sleep", ["/bin/sleep", "1000"])):
            write_bundle(directory / name, argv)

    def identity(self) -> str:
        self._count += 1
        self._identities.append(f"bench-{os.getpid()}-{self._name}-{self._count:05}")
        return self._identities[-1]

    def start_call(self, *words: str) -> subprocess.Popen[bytes]:
        log = open(self._directory / "output", "ab")  # a pipe would be held by the container
        with log:
            return subprocess.Popen([*self._prefix, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def finish(self, *running: subprocess.Popen[bytes]) -> None:
        while any(process.poll() is None for process in running):
            self._reap_one({process.pid for process in running})
        for process in running:
            if process.returncode != 0:
                printed = (self._directory / "output").read_text(errors="replace")[-400:]
                raise Failed(f"{' '.join(map(str, process.args[-4:]))}: status {process.returncode}: {printed}")  # type: ignore[index]

    def call(self, *words: str) -> None:
        self.finish(self.start_call(*words))

    def create_words(self, bundle: str, identity: str) -> tuple[str, ...]:
        return (
            *("create", "--bundle", str(self._directory / bundle)),
            *("--pid-file", str(self._directory / identity), identity),
        )

    def wait(self, identity: str) -> None:
        """For the end of the container, whose process became our child."""
        pid = int((self._directory / identity).read_text())
        while pid not in self._ended:
            self._reap_one(set())

    def _reap_one(self, kept: Set[int]) -> None:
        """Waits for any child, and reaps it unless Popen is to: runtimes wait for what became our child."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            raise Failed("the process of the pid file is not our child") from None
        if found is not None and found.si_pid not in kept:
            os.waitpid(found.si_pid, 0)
            self._ended.add(found.si_pid)

    def reap_rest(self) -> None:
        """Waits for whatever became our child: a runtime's helpers end after its containers."""
        try:
            while True:
                self._ended.add(os.wait()[0])
        except ChildProcessError:
            pass

    def remove_all(self) -> None:
        """After a failure: every container that was ever made here, as far as it goes."""
        for identity in self._identities:
            process = self.start_call("delete", "--force", identity)
            while process.poll() is None:
                self._reap_one({process.pid})

    def running(self) -> str:
        identity = self.identity()
        self.call(*self.create_words("sleep", identity))
        self.call("start", identity)
        return identity

    def killed(self) -> str:
        identity = self.running()
        self.call("kill", identity, "KILL")
        self.wait(identity)
        return identity

    def remove(self, *identities: str) -> None:
        self.finish(*[self.start_call("delete", "--force", identity) for identity in identities])


def write_bundle(directory: Path, argv: Sequence[str]) -> None:
    """busybox and a config.json as engines write it, as far as it costs time: namespaces, /proc, /dev, a few mounts."""
    binaries = directory / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    for name in ("proc", "dev", "sys", "tmp"):
        (directory / "rootfs" / name).mkdir()
    shutil.copy("/bin/busybox", binaries / "applets")
    for name in ("true", "sleep"):
        (binaries / name).symlink_to("applets")
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
    document = {
        "ociVersion": "1.0.2",
        "process": {
            "args": list(argv),
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
    (directory / "config.json").write_text(json.dumps(document))


# ---- rows ----------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin) / 1e6


def whole_life(bench: Bench) -> float:
    identity = bench.identity()

    def live() -> None:
        bench.call(*bench.create_words("true", identity))
        bench.call("start", identity)
        bench.wait(identity)
        bench.call("delete", identity)

    return timed(live)


def one_verb(*words: str) -> Callable[[Bench], float]:
    """A verb on a running container; "ID" among the words is its name."""

    def sample(bench: Bench) -> float:
        identity = bench.running()
        try:
            return timed(lambda: bench.call(*(identity if word == "ID" else word for word in words)))
        finally:
            bench.remove(identity)

    return sample


def delete(bench: Bench) -> float:
    identity = bench.killed()
    return timed(lambda: bench.call("delete", identity))


def many(bench: Bench) -> float:
    identities = [bench.identity() for _ in range(AT_ONCE)]

    def live() -> None:
        bench.finish(*[bench.start_call(*bench.create_words("sleep", identity)) for identity in identities])
        bench.finish(*[bench.start_call("start", identity) for identity in identities])
        bench.remove(*identities)

    return timed(live)


@dataclass(frozen=True)
class Row:
    """limit: pysentry's median over that of `over`, at most; has_least: or LEAST_MS, whichever is more. is_whole: every
    process of a sample is its own, so its CPU time is told."""

    title: str
    sample: Callable[[Bench], float]
    over: str = ""
    limit: float = 0.0
    has_least: bool = False
    is_whole: bool = False

    def judge(self, medians: Mapping[str, float]) -> str:
        ours, theirs = medians.get("pysentry"), medians.get(self.over)
        if not self.limit or ours is None or theirs is None:
            return ""
        most = self.limit * theirs
        if self.has_least:
            most = max(most, LEAST_MS)
        target = f"≤ {self.limit:g} x {self.over}" + (f" or {LEAST_MS:g} ms" if self.has_least else "")
        return f"{target}: {'yes' if ours <= most else 'NO'}"


ROWS: Mapping[str, Row] = {
    "life": Row("create + start + delete of true", whole_life, "runsc", 0.8, is_whole=True),
    "state": Row("state", one_verb("state", "ID"), "runc", 3.0, has_least=True),
    "kill": Row("kill", one_verb("kill", "ID", "KILL"), "runc", 3.0, has_least=True),
    "delete": Row("delete", delete, "runc", 3.0, has_least=True),
    "exec": Row("exec true", one_verb("exec", "ID", "/bin/true"), "runsc", 0.6),
    "many": Row(f"{AT_ONCE} containers at once", many, "runsc", 1.0, is_whole=True),
}


# ---- measuring -----------------------------------------------------------------------------------------------------


def cpu_ms() -> float:
    """Of all processes that we have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1000


def out_of_time(*_: object) -> None:
    raise TimeoutError(f"not done after {TIMEOUT_S} s")


def hide_unified_cgroups() -> None:
    """crun refuses a machine with both versions of cgroups: for all runtimes, v2 is not there beside v1."""
    libc = ctypes.CDLL(None, use_errno=True)
    if UNIFIED.is_dir() and libc.unshare(CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["umount", UNIFIED], check=True)


Samples = dict[str, list[float]]


def measure(row: Row, benches: Mapping[str, Bench], repetitions: int) -> tuple[Samples, Samples, dict[str, str]]:
    """Samples in ms, their CPU time in ms, and errors by runtime. The first run of each is not counted; a runtime that
    fails is left out."""
    samples: Samples = {name: [] for name in benches}
    used: Samples = {name: [] for name in benches}
    errors: dict[str, str] = {}
    for repetition in range(-1, repetitions):
        for name in rotated(list(benches), max(repetition, 0)):  # type: ignore[arg-type, type-var]
            if name in errors:
                continue
            signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
            begin = cpu_ms()
            try:
                value = row.sample(benches[name])
                benches[name].reap_rest()
            except (Failed, OSError, ValueError) as error:
                errors[name] = str(error)
                benches[name].remove_all()
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if repetition >= 0:
                samples[name].append(value)
                used[name].append(cpu_ms() - begin)
    return samples, used, errors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verbs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--runtimes", default=",".join(DEFAULT))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root")
    names, rows = options.runtimes.split(","), options.rows.split(",")
    if unknown := [name for name in names if name not in RUNTIMES] + [name for name in rows if name not in ROWS]:
        parser.error(f"no such row or runtime: {', '.join(unknown)}")
    become_subreaper()
    hide_unified_cgroups()
    signal.signal(signal.SIGALRM, out_of_time)
    found = [name for name in names if shutil.which(RUNTIMES[name][0])]
    for name in set(names) - set(found):
        print(f"{name}: {RUNTIMES[name][0]} is not there", file=sys.stderr)
    results: dict[str, object] = {}
    has_failed = False
    print(f"| ms | {' | '.join(found)} | target |\n|---|{'---|' * len(found)}---|")
    for key in rows:
        row = ROWS[key]
        with tempfile.TemporaryDirectory(prefix="bench-verbs-") as directory:
            benches = {name: Bench(name, Path(directory, name)) for name in found}
            repetitions = max(options.repeat // 5, 1) if key == "many" else options.repeat
            samples, used, errors = measure(row, benches, repetitions)
        medians = {name: statistics.median(values) for name, values in samples.items() if values}
        cells = ["error" if name in errors else f"{medians[name]:.1f}" for name in found]
        print(f"| {row.title} | {' | '.join(cells)} | {row.judge(medians)} |", flush=True)
        if row.is_whole:
            cells = ["error" if name in errors else f"{statistics.median(used[name]):.1f}" for name in found]
            print(f"| CPU time of it | {' | '.join(cells)} | |", flush=True)
        for name, error in errors.items():
            print(f"    {name}: {error}", file=sys.stderr)
        has_failed |= bool(errors)
        results[key] = {"samples_ms": samples, "errors": errors} | ({"cpu_ms": used} if row.is_whole else {})
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
