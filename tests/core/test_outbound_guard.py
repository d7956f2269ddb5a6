"""Requests to URLs from outside reach no private, local or reserved address, however they are spelled."""

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import outbound
from app.core.outbound import ForbiddenTargetError, Limits, OutboundError
from app.core.outbound_guard import ForbiddenTarget, Guard
from tests.core.test_tls import make_certificate
from tests.support.webhook_receiver import OK, Receiver, status, webhook_receiver

LIMITS = Limits(connect_seconds=2.0, read_seconds=10.0, total_seconds=10.0, max_body_bytes=0)
STRICT = Guard()
LOOPBACK = Guard((ip_network("127.0.0.1/32"),), allow_http=True)
PUBLIC = "93.184.215.14"
PRIVATE_NETWORKS = [
    IPv4Network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/29", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "64:ff9b:1::1",
    "::127.0.0.1",
]  # fmt: skip


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses that sockets were to be connected to; none is."""
    addresses: list[Any] = []

    def record(_: socket.socket, address: Any) -> None:
        addresses.append(address[0])
        raise ConnectionRefusedError("recorded")

    monkeypatch.setattr(socket.socket, "connect", record)
    return addresses


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`resolve("a.example", [first answer], [second], …)`: names have these addresses; returns the names looked up."""
    real, asked = socket.getaddrinfo, []
    answers: dict[str, list[list[str]]] = {}

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host not in answers:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        turn = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [entry for address in turn for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def script(host: str, *turns: list[str]) -> list[str]:
        answers[host] = list(turns)
        return asked

    return script


def post(url: str, guard: Guard = STRICT) -> OutboundError | int:
    try:
        return outbound.send("POST", url, LIMITS, body=b"{}", guard=guard).status
    except OutboundError as error:
        return error


def spellings(address: IPv4Address) -> list[str]:
    """How a host can be written so that some parser takes it for this address."""
    number, parts = int(address), str(address).split(".")
    numbers = [int(part) for part in parts]
    fullwidth = str(address).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    hexadecimal = f"{number:08x}"
    return [
        str(address), f"{address}.", str(number), hex(number), f"0{number:o}", f"0x{hexadecimal}.",
        ".".join(f"0{each:o}" for each in numbers), ".".join(map(hex, numbers)),
        f"{numbers[0]}.{number & 0xFFFFFF}", f"{numbers[0]}.{numbers[1]}.{number & 0xFFFF}",
        f"{parts[0]}.0{numbers[1]:o}.{hex(numbers[2])}.{parts[3]}",
        fullwidth, fullwidth.replace(".", "。"), "".join(f"%{ord(each):02x}" for each in str(address)),
        f"[::ffff:{address}]", f"[::ffff:{hexadecimal[:4]}:{hexadecimal[4:]}]", f"[0:0:0:0:0:ffff:{address}]",
        f"[64:ff9b::{address}]", f"[2002:{hexadecimal[:4]}:{hexadecimal[4:]}::1]",
        f"[2001:0:{hexadecimal[:4]}:{hexadecimal[4:]}::1]", f"[::{address}]", f"[::ffff:{address}%25lo]",
    ]  # fmt: skip


private_addresses = st.one_of([st.integers(int(each[0]), int(each[-1])).map(IPv4Address) for each in PRIVATE_NETWORKS])
hosts = st.one_of(
    private_addresses.flatmap(lambda address: st.sampled_from(spellings(address))),
    st.sampled_from(["localhost", "localhost.", "LOCALHOST", "a.localhost", *(f"[{each}]" for each in PRIVATE_V6)]),
)
before = st.sampled_from(["", "", "user:pw@", "@", "example.com@", "example.com%40", "example.com#@", "example.com\\@"])
after = st.sampled_from(
    ["", "/", ":443/", ":80/x", ":0/", ":65536/", ":08080/", "/?u=http://10.0.0.1", "#x", "\\x", " /"]
)


@given(st.sampled_from(["https://", "http://", "https:", "//", "HTTPS://", "https:///"]), before, hosts, after)
def test_no_spelling_of_a_private_address_is_connected_to(scheme: str, user: str, host: str, rest: str) -> None:
    addresses: list[Any] = []

    def record(_: socket.socket, address: Any) -> None:
        addresses.append(address[0])
        raise ConnectionRefusedError("recorded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", record)
        result = post(f"{scheme}{user}{host}{rest}", Guard(allow_http=True))

    assert isinstance(result, OutboundError)
    assert addresses == []


@given(private_addresses)
def test_no_private_address_is_allowed_in_any_form_that_embeds_it(address: IPv4Address) -> None:
    number = int(address)
    embedded = [0xFFFF << 32 | number, 0x2002 << 112 | number << 80 | 1, 0x64FF9B << 96 | number]
    embedded += [
        0x20010000 << 96 | number << 64 | 1,
        0x20010000 << 96 | int(IPv4Address(PUBLIC)) << 64 | number ^ 0xFFFFFFFF,
    ]

    assert not any(STRICT.allows(each) for each in [address, *map(IPv6Address, embedded)])


def test_a_public_address_is_connected_to(connected: list[Any]) -> None:
    for host in (PUBLIC, "[2606:2800:21f:cb07::1]", f"[::ffff:{PUBLIC}]"):
        assert not isinstance(post(f"https://{host}/hook"), ForbiddenTargetError)

    assert connected == [PUBLIC, "2606:2800:21f:cb07::1", f"::ffff:{PUBLIC}"]


def test_the_checked_address_of_a_name_is_connected_to_and_not_looked_up_again(
    connected: list[Any], resolve: Callable[..., list[str]]
) -> None:
    asked = resolve("rebinding.example", [PUBLIC], ["127.0.0.1"])

    post("https://rebinding.example/")
    result = post("https://rebinding.example/")

    assert connected == [PUBLIC]
    assert asked == ["rebinding.example"] * 2
    assert isinstance(result, ForbiddenTargetError)
    assert str(result) == "the URL leads to a private, local or reserved address"


@pytest.mark.parametrize("others", [["10.0.0.1"], ["::1"], ["::ffff:169.254.169.254"], ["64:ff9b::a9fe:a9fe"]])
def test_a_name_with_one_private_address_is_not_connected_to(
    connected: list[Any], resolve: Callable[..., list[str]], others: list[str]
) -> None:
    resolve("mixed.example", [PUBLIC, *others])

    assert isinstance(post("https://mixed.example/"), ForbiddenTargetError)
    assert connected == []


def test_an_allowed_network_opens_itself_alone(connected: list[Any]) -> None:
    guard = Guard((ip_network("10.1.0.0/16"), ip_network("fd00::/64")))

    results = [post(f"https://{host}/", guard) for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[fd00::7]", "10.2.0.1")]

    assert [isinstance(each, ForbiddenTargetError) for each in results] == [False, False, False, True]
    assert connected == ["10.1.2.3", "::ffff:10.1.2.3", "fd00::7"]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@hooks.example/", "https://@hooks.example/", "http://hooks.example/", "ftp://hooks.example/",
        "https://hooks.example:0/", "https://hooks.example/#x", "https://hooks .example/", "https:///x", "https://.../",
        "https://hooks..example/", "https://" + "a" * 64 + ".example/", "https://hooks.example/" + "x" * 2048, "", "x",
        "https://hooks.example/\n", "https://hooks.example\\@127.0.0.1/", "https://[::1", "https://hooks.example:x/",
    ],
)  # fmt: skip
def test_such_a_url_is_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(ForbiddenTarget, match=r"The (URL|port)"):
        STRICT.parse(url)


def test_a_valid_url_is_accepted_in_the_form_that_is_sent() -> None:
    assert STRICT.parse("https://Bücher.example:8443/a?b=c d".replace(" ", "%20")).url == (
        "https://xn--bcher-kva.example:8443/a?b=c%20d"
    )
    assert LOOPBACK.parse("http://127.0.0.1:8080/").port == 8080


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    with webhook_receiver(host="127.0.0.2") as inner:
        hop = receiver.script("hop", status(307, f"Location: {inner.url}/secret"))
        url = receiver.script("start", status(302, f"Location: {hop}"))

        assert post(url, LOOPBACK) == 302

    assert inner.connections == 0
    assert [each.endpoint for each in receiver.received] == ["start"]


def test_the_environment_gives_neither_a_proxy_nor_a_login(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with webhook_receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / "netrc").write_text("default login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        assert post(receiver.script("direct", OK), LOOPBACK) == 204

    assert proxy.connections == 0
    (request,) = receiver.received
    assert "authorization" not in request.headers
    assert request.headers["user-agent"].startswith("dashboard-realtime/")
    assert request.headers["host"] == receiver.url.partition("//")[2]


def test_the_certificate_must_be_that_of_the_urls_host(
    resolve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    for name in ("hooks.test", "other.test"):
        resolve(name, ["127.0.0.1"])
    with webhook_receiver(context) as receiver:
        port = receiver.url.rpartition(":")[2]
        untrusted = post(f"https://hooks.test:{port}/", LOOPBACK)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(certificate))
        results = [post(f"https://{host}:{port}/", LOOPBACK) for host in ("hooks.test", "127.0.0.1", "other.test")]

    assert results[:2] == [204, 204]
    assert receiver.received[0].headers["host"] == f"hooks.test:{port}"
    assert [str(each) for each in (untrusted, results[2])] == ["no response (SSLCertVerificationError)"] * 2
    assert len(receiver.received) == 2
