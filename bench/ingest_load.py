"""The load of the ingest benchmark: kept-alive connections with one request in flight each, in one epoll loop.

It looks for the length of an answer in its head and parses nothing else.
"""

import select
import socket
import time


def post(path, token, body, fields=""):
    """One request as it goes over the wire; `fields` are further lines of its head."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


class Connections:
    def __init__(self, port, count):
        self.poll = select.epoll()
        self.sockets = {}
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=20)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[client.fileno()] = client
            self.poll.register(client, select.EPOLLIN)

    def send_all(self, requests, status=b"202"):
        """Send each request once; returns the ages of the answers in milliseconds, sorted, and the seconds it took.

        Raises RuntimeError at the first answer of another status.
        """
        waiting, ages, began = iter(requests), [], time.monotonic()
        sent_at = {}
        partial = {}
        for number, client in self.sockets.items():
            self._next(client, number, waiting, sent_at)
        while sent_at:
            for number, _ in self.poll.poll(20) or _stalled():
                data = partial.pop(number, b"") + self.sockets[number].recv(1 << 16)
                if not _is_whole(data):
                    partial[number] = data
                    continue
                if data[9:12] != status:
                    raise RuntimeError(data[:1000].decode())
                ages.append((time.monotonic() - sent_at.pop(number)) * 1000)
                self._next(self.sockets[number], number, waiting, sent_at)
        return sorted(ages), time.monotonic() - began

    def send_paced(self, requests, per_second, status=b"201"):
        """Send each request at its time, on any connection that is idle; returns how late the last one was, in seconds.

        Raises RuntimeError at the first answer of another status.
        """
        idle, partial, began, late = list(self.sockets.values()), {}, time.monotonic(), 0.0
        for number, request in enumerate(requests):
            due = began + number / per_second
            while (wait := due - time.monotonic()) > 0 or not idle:
                self._take_answers(idle, partial, wait if idle else 20, status)
            late = time.monotonic() - due
            idle.pop().sendall(request)
        while len(idle) < len(self.sockets):
            self._take_answers(idle, partial, 20, status)
        return late

    def _take_answers(self, idle, partial, seconds, status):
        for number, _ in self.poll.poll(max(seconds, 0)):
            data = partial.pop(number, b"") + self.sockets[number].recv(1 << 16)
            if not _is_whole(data):
                partial[number] = data
            elif data[9:12] != status:
                raise RuntimeError(data[:1000].decode())
            else:
                idle.append(self.sockets[number])

    def _next(self, client, number, waiting, sent_at):
        request = next(waiting, None)
        if request is not None:
            sent_at[number] = time.monotonic()
            client.sendall(request)

    def close(self):
        for client in self.sockets.values():
            client.close()
        self.poll.close()


def _is_whole(data):
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        if not data:
            raise ConnectionError("the server closed a connection")
        return False
    at = head.lower().find(b"content-length:")
    return data[9:12] == b"304" or (at >= 0 and len(body) >= int(head[at + 15 :].split(b"\r\n")[0]))


def _stalled():
    raise TimeoutError("no answer within 20 s")
