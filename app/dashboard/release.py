"""The hash of all files of the page, which is part of their addresses: a browser keeps them until one of them changes.

Without it, a browser would ask for each of a hundred modules whenever the page is loaded.
"""

import time
from pathlib import Path

from werkzeug.http import generate_etag

RESCAN_SECONDS = 1.0


class Release:
    """The files as they were at the last scan."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int]] = {}
        self._etags: dict[str, str] = {}
        self._hash, self._scanned_at = "", 0.0

    def scan(self) -> str:
        """Read the files that have changed; return the hash of all."""
        self._scanned_at = time.monotonic()
        files = {path.relative_to(self._folder).as_posix(): path for path in self._folder.rglob("*") if path.is_file()}
        found = {name: (path.stat().st_mtime_ns, path.stat().st_size) for name, path in files.items()}
        if found != self._seen:
            self._etags = {
                name: self._etags[name] if self._seen.get(name) == found[name] else generate_etag(path.read_bytes())
                for name, path in files.items()
            }
            self._seen = found
            self._hash = generate_etag(repr(sorted(self._etags.items())).encode())[:16]
        return self._hash

    def holds(self, release: str, name: str, etag: str | None) -> bool:
        """Whether a file with this ETag is a part of this release."""
        if release != self._hash and time.monotonic() - self._scanned_at > RESCAN_SECONDS:
            self.scan()
        return release == self._hash and self._etags.get(name) == etag
