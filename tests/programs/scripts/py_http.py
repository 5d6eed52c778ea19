"""A threaded local HTTP server and urllib; a large body; selectors; socket pairs with descriptors passed."""

import array
import http.server
import os
import selectors
import socket
import threading
import urllib.request

BODY = bytes(range(256)) * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *arguments: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(3):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as response:
        print(response.status, response.read() == BODY)
server.shutdown()
server.server_close()

here, there = socket.socketpair()
with selectors.DefaultSelector() as selector:
    selector.register(here, selectors.EVENT_READ)
    print(selector.select(0.01))
    with open("passed", "w+") as file:
        socket.send_fds(there, [b"with a file"], [file.fileno()])
    print(len(selector.select(10)))
message, descriptors, _, _ = socket.recv_fds(here, 100, 4)
os.write(descriptors[0], b"written by the receiver")
print(message, open("passed").read(), array.array("i", descriptors).itemsize)
