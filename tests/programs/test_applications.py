"""Programs that people run: a browser, ffmpeg, keys, sqlite3, what tells about the system; debuggers are refused."""

import pytest

from tests.harness.programs import need, script
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("native", "seccomp")

CHROMIUM = """chromium 0
%PDF-
%%EOF
<p id="p">1-4-9</p>
"""

FFMPEG = """h264,20
mp3,79
frame1.png: PNG image data, 80 x 60, 8-bit/color RGB, non-interlaced
frame3.png: PNG image data, 80 x 60, 8-bit/color RGB, non-interlaced
384000
ffmpeg 1
"""

CRYPTO = """256 HASH comment (ED25519)
256 HASH comment (ECDSA)
3072 HASH comment (RSA)
600 ed25519
644 ed25519.pub
Good "file" signature for me with ED25519 key HASH
subject=CN = here
certificate: OK
text
1
1
17
"""

SQLITE = """wal
5000|12502500
w1|50
w2|50
writer 137
0
ok
0|0|0
delete
a,b
1,31
2,32
5104
"""

SYSTEM = """bash
ps
PID bash bash USER
Tasks
%Cpu(s)
MiB Mem
memory
free agrees
n/etc/hostname
lsof knows
1
proc
nproc agrees
/
df 0
inet 127.0.0.1/8
<LOOPBACK,UP,LOWER_UP>
root:0
localhost
root:0
total
pgrep 1
"""

CORE_DUMPS = """unlimited
abort 134
bad pointer 139
6 False
0
"""


def test_chromium_prints_a_page(runner: Runner) -> None:
    need("chromium", "chromium")
    result = runner.run(["bash", script(runner, "chromium.sh")])
    assert result.stdout == CHROMIUM, result


def test_ffmpeg(runner: Runner) -> None:
    need("ffmpeg", "ffmpeg")
    need("file", "file")
    result = runner.run(["bash", script(runner, "ffmpeg.sh")])
    assert result.stdout == FFMPEG, result


def test_ssh_keygen_and_openssl(runner: Runner) -> None:
    need("ssh-keygen", "openssh-client")
    need("openssl", "openssl")
    # ssh-keygen refuses users without a name.
    result = runner.run(["bash", script(runner, "crypto.sh")], options=["--user=root"])
    assert result.stdout == CRYPTO, result


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_sqlite_shell(runner: Runner) -> None:
    need("sqlite3", "sqlite3")
    result = runner.run(["bash", script(runner, "sqlite.sh")])
    assert result.stdout == SQLITE, result


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_what_tells_about_the_system(runner: Runner) -> None:
    for program, package in (("ps", "procps"), ("lsof", "lsof"), ("ip", "iproute2"), ("findmnt", "util-linux")):
        need(program, package)
    result = runner.run(["bash", script(runner, "system.sh")])
    assert result.stdout == SYSTEM, result


@pytest.mark.configs("seccomp", "ptrace", "user")  # natively a core dump is made
def test_core_dumps_are_refused(runner: Runner) -> None:
    need("gcc", "gcc")
    result = runner.run(["bash", script(runner, "core_dumps.sh")])
    assert result.stdout == CORE_DUMPS, result


@pytest.mark.configs("ptrace")  # on the other engine they work: test_debuggers.py
@pytest.mark.parametrize(
    ("program", "arguments"), [("strace", ["true"]), ("gdb", ["-nx", "-batch", "-ex", "run", "/bin/true"])]
)
def test_debuggers_are_told_that_tracing_is_not_permitted(
    runner: Runner, program: str, arguments: list[str]
) -> None:
    result = runner.run([need(program, program), *arguments])
    assert result.status == 1, result
    assert "Operation not permitted" in result.stderr, result
