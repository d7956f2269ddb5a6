"""Redis over TLS (`rediss://`): commands, channels, tasks and beat, with the server's certificate checked.

The embedded server is built without TLS, so a small TLS end stands before it; the clients cannot tell.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.core.redis_connection import connect_redis
from app.core.redis_nodes import RedisNodes
from tests.core.test_sentinel import a_report_and_a_payment_reach_the_room
from tests.support import servers
from tests.support.js_client import JsClient
from tests.support.processes import free_port
from tests.support.stack import StackMaker
from tests.support.valkey_cluster import valkey_cluster


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and hooks.test that vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis.test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("hooks.test")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


class TlsEnd:
    """Takes TLS connections on `port` and passes their bytes on to a server without TLS."""

    def __init__(self, target: int, certificate: Path, key: Path) -> None:
        self.port, self._target = free_port(), target
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
def tls(valkey: servers.Valkey, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port of a Redis that speaks TLS alone, and the certificate to trust."""
    certificate, key = make_certificate(tmp_path)
    end = TlsEnd(valkey.port, certificate, key)
    end.start()
    yield end.port, certificate
    end.stop()


def test_the_whole_system_works_over_tls(tls: tuple[int, Path], make_stack: StackMaker, js: JsClient) -> None:
    port, certificate = tls
    url = f"rediss://127.0.0.1:{port}/62?ssl_cert_reqs=required&ssl_ca_certs={certificate}"
    stack = make_stack(REDIS_URL=url)

    a_report_and_a_payment_reach_the_room(stack, js)


def test_a_server_whose_certificate_is_not_trusted_is_refused(tls: tuple[int, Path]) -> None:
    import redis

    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        connect_redis(f"rediss://127.0.0.1:{tls[0]}/0").ping()


def test_a_cluster_is_reached_over_tls_at_every_node(tmp_path: Path) -> None:
    import redis

    certificate, key = make_certificate(tmp_path)
    with valkey_cluster(tmp_path / "cluster", primaries=1, replicas=False, password="p@ss") as cluster:
        end = TlsEnd(cluster.nodes[0].port, certificate, key)
        end.start()
        cluster.nodes[0].client.config_set("cluster-announce-port", end.port)
        address = f"rediss-cluster://:p%40ss@127.0.0.1:{end.port}"
        nodes = RedisNodes(f"{address}?ssl_ca_certs={certificate}")
        assert nodes.execute([(0, ("PING",)), (16_383, ("PING",))]) == [b"PONG"] * 2
        assert [node.name for node in nodes.nodes()] == [f"127.0.0.1:{end.port}"]
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            RedisNodes(address).nodes()
        end.stop()
