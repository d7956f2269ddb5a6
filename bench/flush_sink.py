"""Replaces the web processes: subscribes to the rooms' channels and discards the messages.

`python flush_sink.py REDIS_PORT ROOMS` prints one line when it listens.
"""

import socket
import sys

from app.realtime.redis_keys import channel_of


def main():
    port, rooms = int(sys.argv[1]), int(sys.argv[2])
    connection = socket.create_connection(("127.0.0.1", port))
    for first in range(0, rooms, 500):
        names = " ".join(channel_of(f"room-{number}") for number in range(first, min(first + 500, rooms)))
        connection.sendall(f"SSUBSCRIBE {names}\r\n".encode())
    answers = bytearray()
    while answers.count(b"subscribe\r\n") < rooms or not answers.endswith(b"\r\n"):
        answers += connection.recv(1 << 20)
    print("listens", flush=True)
    buffer = bytearray(1 << 20)
    while connection.recv_into(buffer):
        pass


main()
