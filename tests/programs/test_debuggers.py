"""strace and gdb."""

import subprocess

import pytest

from tests.harness.programs import need, script
from tests.harness.runner import Result, Runner

# Not on the ptrace engine: its traps are stops, so that ptrace(2) answers EPERM.
pytestmark = pytest.mark.configs("native", "seccomp", "seccomp-slow", "user")

PROGRAM = """
#include <stdio.h>
int counter;
__attribute__((noinline)) int inner(int n)
{
    counter += n;
    return n * 2;
}
int main(void)
{
    int sum = 0;
    for (int i = 1; i < 4; i++)
        sum += inner(i);
    printf("sum %d\\n", sum);
    return 7;
}
"""

THREADS = """
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int total;
static void *add(void *n)
{
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&lock);
        total += *(int *)n;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}
int main(void)
{
    pthread_t threads[4];
    int one = 1;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add, &one);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("total %d\\n", total);
    return 0;
}
"""


def compile_program(runner: Runner, text: str) -> None:
    """As ./program, with debug information."""
    need("gcc", "gcc")
    source = runner.work / "program.c"
    source.write_text(text)
    command = ["gcc", "-g", "-O0", "-pthread", "-o", "program", "program.c"]
    subprocess.run(command, cwd=runner.work, check=True)


def test_strace_shows_what_a_program_does(runner: Runner) -> None:
    need("strace", "strace")
    result = runner.run(["strace", "-o", "/dev/stdout", "cat", "/etc/hostname"])
    lines = result.stdout.splitlines()
    assert result.status == 0, result
    assert lines[0].startswith('execve("/usr/bin/cat", ["cat", "/etc/hostname"], 0x'), result
    assert lines[0].endswith(" = 0")
    assert lines[1].startswith("brk(NULL) "), result  # the program's first call, none of the stub's
    assert any(line.startswith('openat(AT_FDCWD, "/etc/hostname", O_RDONLY) = 3') for line in lines), result
    assert lines[-1] == "+++ exited with 0 +++"
    assert not any("dup3" in line for line in lines)


def test_strace_follows_a_pipeline(runner: Runner) -> None:
    need("strace", "strace")
    result = runner.run(["strace", "-f", "-o", "/dev/stderr", "sh", "-c", "echo a; ls / | cat | sort -r"])
    assert result.status == 0, result
    assert result.stdout.startswith("a\n")
    assert "usr\n" in result.stdout
    for name in ("sh", "ls", "cat", "sort"):
        assert f'execve("/usr/bin/{name}"' in result.stderr, result
    assert result.stderr.count("+++ exited with 0 +++") == 4
    assert result.stderr.count("si_code=CLD_EXITED") >= 1


def test_strace_attaches_to_a_process(runner: Runner) -> None:
    need("strace", "strace")
    result = runner.run(["bash", script(runner, "strace_attach.sh")])
    assert result.stdout == "attached\ndetached\nit goes on\n", result


def test_strace_injects_an_error(runner: Runner) -> None:
    need("strace", "strace")
    result = runner.run(["strace", "-f", "-o", "/dev/null", "-e", "inject=mkdir:error=EROFS", "mkdir", "made"])
    assert result.status == 1, result
    assert "Read-only file system" in result.stderr


def test_strace_of_threads(runner: Runner) -> None:
    need("strace", "strace")
    compile_program(runner, THREADS)
    result = runner.run(["strace", "-f", "-o", "/dev/stderr", "./program"])
    assert (result.status, result.stdout) == (0, "total 400\n"), result
    assert result.stderr.count("+++ exited with 0 +++") == 5


def gdb(runner: Runner, *commands: str) -> Result:
    need("gdb", "gdb")
    options = [word for command in commands for word in ("-ex", command)]
    return runner.run(["gdb", "-q", "-nx", "-batch", "-ex", "set debuginfod enabled off", *options, "./program"])


def test_gdb_stops_steps_and_looks(runner: Runner) -> None:
    compile_program(runner, PROGRAM)
    result = gdb(
        runner, "break inner", "run", "bt", "print n", "finish", "watch counter", "continue", "print counter",
        "delete", "print counter = 40", "continue",
    )  # fmt: skip
    assert result.status == 0, result
    for text in (
        "Breakpoint 1, inner (n=1) at program.c:6",
        "#1 ",
        "in main () at program.c:13",
        "$1 = 1\n",
        "Value returned is $2 = 2\n",
        "watchpoint 2: counter",
        "= 40\n",
        "sum 12\n",
        "exited with code 07]",
    ):
        assert text in result.stdout, result


def test_gdb_of_threads(runner: Runner) -> None:
    compile_program(runner, THREADS)
    result = gdb(runner, "break add", "run", "thread apply all bt 1", "delete", "continue")
    assert result.status == 0, result
    assert "hit Breakpoint 1, add" in result.stdout, result
    assert "total 400\n" in result.stdout, result


def test_gdb_catches_a_fault(runner: Runner) -> None:
    compile_program(runner, "int main(void) { volatile int *nowhere = (int *)8; return *nowhere; }\n")
    result = gdb(runner, "run", "print $_siginfo._sifields._sigfault.si_addr", "kill")
    assert "Program received signal SIGSEGV, Segmentation fault." in result.stdout, result
    assert "$1 = (void *) 0x8\n" in result.stdout, result
