"""The server's address."""

from urllib.parse import urlsplit


def base_url(url: str) -> str:
    """The address without a final slash. Raises ValueError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"the server's address is {url!r}, not like http://127.0.0.1:5000 or https://dashboard.example"
        )
    return url.rstrip("/")
