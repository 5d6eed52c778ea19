"""Threads that share locks, queues and files; signals in the main thread; many descriptors at a time."""

import concurrent.futures
import os
import queue
import signal
import tempfile
import threading
import time

work: queue.Queue[int | None] = queue.Queue()
results: list[int] = []
lock = threading.Lock()


def worker() -> None:
    while (item := work.get()) is not None:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * item)
            file.seek(0)
            size = len(file.read())
        with lock:
            results.append(size)


threads = [threading.Thread(target=worker) for _ in range(8)]
for thread in threads:
    thread.start()
for size in range(200):
    work.put(size)
for _ in threads:
    work.put(None)
for thread in threads:
    thread.join()
print("sum", sum(results))

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda n: n * n, range(5))))

reader, writer = os.pipe()
received: list[bytes] = []
blocked = threading.Thread(target=lambda: received.append(os.read(reader, 10)))
blocked.start()
os.write(writer, b"woken")
blocked.join()
print(received)

ticks: list[int] = []
signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
while len(ticks) < 3:
    time.sleep(1)
signal.setitimer(signal.ITIMER_REAL, 0)
print("ticks")

barrier = threading.Barrier(5)
order: list[int] = []


def meet(number: int) -> None:
    barrier.wait()
    with lock:
        order.append(number)


for number in range(5):
    threading.Thread(target=meet, args=(number,)).start()
while len(order) < 5:
    time.sleep(0.001)
print(sorted(order), threading.active_count() >= 1)
