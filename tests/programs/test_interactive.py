"""An interactive bash on a terminal: prompt, editing, Ctrl-C, Ctrl-Z, fg and bg, Ctrl-D, window size, raw mode."""

import pytest

from tests.harness.configuration import PROGRAMS
from tests.harness.runner import Runner
from tests.harness.terminal import Terminal, terminal

pytestmark = pytest.mark.configs(*PROGRAMS)
BASH = ["bash", "--norc", "--noprofile", "-i"]
# Says that it runs, in words that the echo of the typed line does not hold.
WAITING = 'sh -c "echo wai""ting; exec sleep 1000"\n'


def command(shell: Terminal, line: str, expected: str) -> None:
    shell.send(line + "\n")
    shell.expect(expected)
    shell.expect("ready> ")


def test_session(runner: Runner) -> None:
    with terminal(runner, BASH) as shell:
        shell.expect("ready> ")
        command(shell, "echo $((6*7)) $-", r"42 .*i.*m")
        command(shell, "tty", r"/dev/pts/\d+")
        command(shell, "stty size", r"[\r\n]24 80\r")
        shell.send("echo wrong\x15echo ri\x7fight\n")  # Ctrl-U kills the line, DEL a character
        shell.expect(r"[\r\n]right\r")
        shell.expect("ready> ")
        shell.send("exit 3\n")
        assert shell.finish().status == 3


def test_control_c_ends_the_foreground_job(runner: Runner) -> None:
    with terminal(runner, BASH) as shell:
        shell.expect("ready> ")
        shell.send(WAITING)
        shell.expect("waiting")
        shell.send("\x03")
        shell.expect(r"\^C")
        shell.expect("ready> ")
        command(shell, "echo status=$?", "status=130")
        shell.send("echo ca''lm; cat\n")
        shell.expect("calm")
        shell.send("words\n")
        shell.expect(r"words\r\n(\x1b\[\?2004l\r)?words\r\n")
        shell.send("\x04")  # cat's end of input
        shell.expect("ready> ")
        shell.send("\x04")
        assert shell.finish().status == 0


def test_stopping_and_continuing_jobs(runner: Runner) -> None:
    with terminal(runner, BASH) as shell:
        shell.expect("ready> ")
        shell.send(WAITING)
        shell.expect("waiting")
        shell.send("\x1a")
        shell.expect(r"\[1\]\+\s+Stopped")
        shell.expect("ready> ")
        command(shell, "jobs", r"\[1\]\+\s+Stopped\s+sh -c")
        command(shell, "bg", r"\[1\]\+ sh -c")
        command(shell, "jobs", r"\[1\]\+\s+Running")
        shell.send("kill %1; wait; echo en''ded; cat\n")
        shell.expect("ended")
        shell.send("before\n")
        shell.expect(r"before\s+before\s")
        shell.send("\x1a")
        shell.expect(r"Stopped\s+cat")
        shell.expect("ready> ")
        shell.send("fg\n")
        shell.expect(r"cat\r\n")
        shell.send("after\n")  # cat's echo of it shows that it is in front again
        shell.expect(r"after\s+after\s")
        shell.send("\x03")
        shell.expect("ready> ")
        command(shell, "jobs; echo none", r"jobs; echo none\r\n(\x1b\[\?2004[lh]\r?)?none")
        shell.send("sleep 1000 & kill %1; wait; exit 5\n")
        assert shell.finish().status == 5


def test_resizing(runner: Runner) -> None:
    with terminal(runner, BASH, rows=30, columns=100) as shell:
        shell.expect("ready> ")
        command(shell, "stty size", "30 100")
        shell.resize(41, 123)
        command(shell, "stty size", "41 123")
        shell.send("trap 'echo res''ized $(stty size)' WINCH; echo tra''pped\n")
        shell.expect("trapped")
        shell.expect("ready> ")
        shell.resize(50, 150)
        shell.send("\n")
        shell.expect("resized 50 150")
        shell.send("exit\n")
        assert shell.finish().status == 0


def test_raw_mode_and_back(runner: Runner) -> None:
    with terminal(runner, BASH) as shell:
        shell.expect("ready> ")
        shell.send("stty raw -echo; echo go; head -c 3 | od -An -c; stty sane; echo do''ne\n")
        shell.expect(r"go\n")
        shell.send("\x03\rx")  # neither a signal nor translated
        shell.expect(r"003\s+\\r\s+x")
        shell.expect("done")
        shell.expect("ready> ")
        shell.send("exit\n")
        assert shell.finish().status == 0


def test_python_prompt(runner: Runner) -> None:
    with terminal(runner, ["/usr/bin/python3", "-q"]) as shell:
        shell.expect(">>> ")
        shell.send("import os, sys; os.isatty(0), os.get_terminal_size().lines\n")
        shell.expect(r"\(True, 24\)")
        shell.expect(">>> ")
        shell.send("input('name? ')\n")
        shell.expect(r"[\r\n]name\? ")
        shell.send("me\n")
        shell.expect("'me'")
        shell.send("exec('print(\\'lo\\' + \\'op\\')\\nwhile True: pass')\n")
        shell.expect("loop")
        shell.send("\x03")
        shell.expect("KeyboardInterrupt")
        shell.expect(">>> ")
        shell.send("raise SystemExit(4)\n")
        assert shell.finish().status == 4
