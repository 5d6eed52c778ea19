"""asyncio with a server and clients on loopback and on a Unix socket, subprocesses, signals, time limits, threads."""

import asyncio
import os
import signal
import socket


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bytes:
    writer.write(f"client {number}\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = await asyncio.gather(
        *[ask(*await asyncio.open_connection("127.0.0.1", port), number) for number in range(20)]
    )
    print(sorted(answers)[:2], len(set(answers)))
    server.close()
    local = await asyncio.start_unix_server(serve, "socket")
    print(await ask(*await asyncio.open_unix_connection("socket"), 99))
    local.close()
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; exit 6", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(b"through the child")
    print(output, process.returncode)
    try:
        await asyncio.wait_for(asyncio.sleep(100), 0.05)
    except TimeoutError:
        print("timeout")
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await heard.wait()
    print("signal", await asyncio.to_thread(lambda: 7 * 6))
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.setblocking(False)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"datagram", receiver.getsockname())
    print(await loop.sock_recv(receiver, 100))
    print(socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4])


asyncio.run(main())
