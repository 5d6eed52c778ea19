"""multiprocessing by fork and spawn: pools, queues, pipes, locks, shared memory, managers."""

import multiprocessing as mp
import os
import sys
from multiprocessing import shared_memory


def square(number: int) -> int:
    return number * number


def fill(name: str, queue: "mp.Queue[str]") -> None:
    block = shared_memory.SharedMemory(name)
    block.buf[:5] = b"child"
    block.close()
    queue.put("filled")


def count(value, lock) -> None:
    for _ in range(100):
        with lock:
            value.value += 1


def answer(connection) -> None:
    connection.send({"got": connection.recv(), "parent": os.getppid() > 0})
    connection.close()


def main(method: str) -> None:
    context = mp.get_context(method)
    with context.Pool(3) as pool:
        print(method, pool.map(square, range(10)))
        print(sum(pool.imap_unordered(square, range(100), chunksize=7)))
    queue = context.Queue()
    block = shared_memory.SharedMemory(create=True, size=4096)
    process = context.Process(target=fill, args=(block.name, queue))
    process.start()
    print(queue.get(), process.join(), process.exitcode, bytes(block.buf[:5]))
    block.close()
    block.unlink()
    value, lock = context.Value("i", 0, lock=False), context.Lock()
    workers = [context.Process(target=count, args=(value, lock)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("counted", value.value)
    here, there = context.Pipe()
    process = context.Process(target=answer, args=(there,))
    process.start()
    here.send([1, "two", 3.0])
    print(here.recv())
    process.join()
    with context.Manager() as manager:
        shared = manager.dict()
        shared["key"] = manager.list([1, 2])
        print(list(shared["key"]), len(shared))


if __name__ == "__main__":
    main(sys.argv[1])
