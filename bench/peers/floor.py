"""The floor: sockets and one prebuilt frame, no protocol, no rooms. `python floor.py REDIS_PORT` prints its port.

Every event is one `send` per socket. Under overload ours writes several events at once and can get below this floor.
"""

import base64
import hashlib
import select
import socket
import sys

import hiredis

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(text):
    head = bytes((0x81, len(text))) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2)
    return head + text


def welcome(connection):
    request = connection.recv(65536)
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324 - RFC 6455
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frame(b'0{"sid":"x"}'))
    connection.recv(4096)
    connection.sendall(frame(b'40{"sid":"x"}'))
    connection.setblocking(False)


def main():
    redis = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    redis.sendall(b"SUBSCRIBE floor\r\n")
    reader = hiredis.Reader()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    for each in (redis, listener):
        poll.register(each, select.EPOLLIN)
    sends, kept = [], []
    while True:
        for fileno, _ in poll.poll():
            if fileno == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                welcome(connection)
                kept.append(connection)
                sends.append(connection.send)
                continue
            reader.feed(redis.recv(262144))
            while (reply := reader.gets()) is not False:
                if reply[0] == b"message":
                    data = frame(b"42" + reply[2])
                    for send in sends:
                        send(data)


main()
