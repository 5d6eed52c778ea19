"""subprocess in its forms: capture, pipes between children, errors, time limits, descriptors, groups, large data."""

import os
import signal
import subprocess
import sys

print(subprocess.run(["echo", "captured"], capture_output=True, text=True).stdout, end="")
print(subprocess.run("exit 9", shell=True).returncode)
print(subprocess.run(["sh", "-c", "kill -KILL $$"]).returncode)
data = b"line\n" * 60000
print(len(subprocess.run(["cat"], input=data, stdout=subprocess.PIPE).stdout))
first = subprocess.Popen(["seq", "1000"], stdout=subprocess.PIPE)
second = subprocess.Popen(["grep", "-c", "9"], stdin=first.stdout, stdout=subprocess.PIPE, text=True)
assert first.stdout
first.stdout.close()
print(second.communicate()[0].strip(), first.wait(), second.returncode)
try:
    subprocess.run(["/does/not/exist"])
except FileNotFoundError as error:
    print("not found", error.filename)
try:
    subprocess.run(["/etc/passwd"])
except PermissionError as error:
    print("not executable", error.filename)
try:
    subprocess.run(["sleep", "100"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timed out")
reader, writer = os.pipe()
child = subprocess.Popen(["sh", "-c", f"echo passed >&{writer}"], pass_fds=[writer])
os.close(writer)
print(os.read(reader, 100), child.wait())
child = subprocess.Popen(["sh", "-c", "sleep 100 & wait"], start_new_session=True)
os.killpg(child.pid, signal.SIGTERM)
print("group", child.wait())
print(
    subprocess.run(
        [sys.executable, "-c", "import os; print(os.environ['X'], os.getcwd())"],
        env={"X": "1", "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
    ).stdout,
    end="",
)
print(subprocess.check_output(["sh", "-c", "echo both; echo streams >&2"], stderr=subprocess.STDOUT, text=True), end="")
with open("log", "w") as log:
    subprocess.run(["sh", "-c", "for i in 1 2 3; do echo $i; done"], stdout=log)
print(open("log").read().split())
many = [subprocess.Popen(["true"]) for _ in range(20)]
print([child.wait() for child in many].count(0))
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 11"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    os.posix_spawn("/does/not/exist", ["x"], os.environ)
except FileNotFoundError:
    print("posix_spawn reports")
