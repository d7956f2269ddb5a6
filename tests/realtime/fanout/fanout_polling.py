"""A polling Socket.IO client, one request at a time, and its upgrade to a WebSocket."""

import http.client
import json
import threading

from tests.realtime.fanout.fanout_client import RawClient
from tests.support.machine_speed import patience

SEPARATOR = "\x1e"


class PollingClient:
    def __init__(self, port, auth=None):
        self.port = port
        self.packets = []
        self.sid = json.loads(self._request("GET", "")[1:])["sid"]
        self.post("40" + (json.dumps(auth) if auth else ""))
        assert self.packet().startswith("40{")

    def _request(self, method, query, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience(10))
        try:
            connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, (answer.status, text)
            return text
        finally:
            connection.close()

    def post(self, *packets):
        assert self._request("POST", f"&sid={self.sid}", SEPARATOR.join(packets)) == "ok"

    def poll(self):
        text = self._request("GET", f"&sid={self.sid}")
        return text.split(SEPARATOR) if text else []

    def packet(self):
        while not self.packets:
            self.packets += [packet for packet in self.poll() if packet not in ("2", "6")]
        return self.packets.pop(0)

    def poll_in_background(self):
        """A poll that waits; what it brings is added to `packets`."""
        thread = threading.Thread(target=lambda: self.packets.extend(self.poll()))
        thread.start()
        return thread

    def upgrade(self):
        """As the JavaScript client does it: probe while a poll still waits, then give polling up."""
        waiting = self.poll_in_background()
        socket = RawClient(self.port, sid=self.sid)
        socket.send("2probe")
        assert socket.packet() == "3probe"
        waiting.join(5)
        assert not waiting.is_alive()
        socket.send("5")
        return socket
