"""Which addresses a request to a URL from outside may reach: public ones, and networks that the operator allows.

A name is resolved once, every address it has must be allowed, and the connection is made to one of these addresses.
So a name that resolves differently a moment later (DNS rebinding) gains nothing, and neither does an unusual spelling
of an address: the resolver decides what it means, and its result is checked.
"""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2048
HIGHEST_PORT = 65535
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; its last 32 bits are an IPv4 address
_SPECIAL: tuple[Network, ...] = (
    ip_network("168.63.129.16/32"),  # Azure's platform service, the one metadata address in a public range
    ip_network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    ip_network("64:ff9b:1::/48"),  # a network's own NAT64 (RFC 8215)
)


class ForbiddenTarget(Exception):
    """A URL or an address that requests may not go to. The text names no address and may be shown to clients."""


@dataclass(frozen=True)
class Guard:
    """What requests to URLs from outside may reach besides public addresses over https."""

    allowed_networks: tuple[Network, ...] = ()
    allow_http: bool = False

    def parse(self, url: str) -> Url:
        """The parts of a valid URL, as they are used for the connection. Raises ForbiddenTarget.

        Only a host written as an address, in any notation, is checked here: names are resolved at connection time.
        """
        try:
            parts = parse_url(url)
            host = (parts.host or "").strip("[]")
            host.encode("idna")  # as the resolver will: no label is empty or too long
        except (LocationParseError, UnicodeError):
            raise ForbiddenTarget("The URL is malformed.") from None
        literal = _literal_address(host)
        problems = {
            f"The URL must have at most {MAX_URL} characters.": len(url) > MAX_URL,
            "The URL must hold no blanks, control characters or backslashes.": re.search(r"[\s\x00-\x20\x7f\\]", url),
            "The URL must begin with https://.": parts.scheme != "https" and not self.allow_http,
            "The URL must begin with https:// or http://.": parts.scheme not in ("https", "http"),
            "The URL must hold no user name or password.": "@" in _authority(url),
            "The URL must name a host.": not host.strip("."),
            f"The port must be between 1 and {HIGHEST_PORT}.": parts.port is not None
            and not 0 < parts.port <= HIGHEST_PORT,
            "The URL must have no fragment.": parts.fragment is not None,
            "The URL must not lead to a private, local or reserved address.": literal and not self.allows(literal),
        }
        for problem, applies in problems.items():
            if applies:
                raise ForbiddenTarget(problem)
        return parts

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A connection to one of the addresses of `host`, all of which must be allowed.

        Each attempt takes at most so many seconds. Raises ForbiddenTarget and OSError.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(self.allows(ip_address(each)) for each in addresses):
            raise ForbiddenTarget("the URL leads to a private, local or reserved address")
        failure = OSError("the name has no address")
        for address in addresses:
            try:
                return socket.create_connection((address, port), seconds)
            except OSError as error:
                failure = error
        raise failure

    def allows(self, address: Address) -> bool:
        """Whether the address, or the IPv4 address that it stands for, is public or in an allowed network."""
        if any(address in network for network in self.allowed_networks):
            return True
        embedded = _embedded_addresses(address)
        if embedded:
            return all(self.allows(each) for each in embedded)
        return _is_public(address)


def _authority(url: str) -> str:
    return re.split("[/?#]", url.partition("//")[2], maxsplit=1)[0]


def _is_public(address: Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_private
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (is_special or is_site_local or any(address in each for each in _SPECIAL))


def _embedded_addresses(address: Address) -> list[Address]:
    """The IPv4 addresses that a mapped, 6to4, Teredo or NAT64 address leads to."""
    if not isinstance(address, IPv6Address):
        return []
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    candidates = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), nat64)
    return [each for each in candidates if each is not None]


def _literal_address(host: str) -> Address | None:
    """The address that a host stands for without a lookup, also as a decimal, octal or hexadecimal number."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name))
    except OSError:
        return None
