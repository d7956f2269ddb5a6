"""Writes docs/configuration.md from the settings: `python -m app.config.reference > docs/configuration.md`."""

import sys
from dataclasses import fields

from app.config import Config

INTRODUCTION = """\
# Configuration

Everything is set by environment variables, read and checked once at the start: a process with a wrong setting does
not start, and names every fault at once. This page is generated from `app/config/settings.py` (`make docs`).

Any variable may come as a file instead: `NAME_FILE=/run/secrets/name` is read where `NAME` is not set. Use that for
secrets (marked with a key below): variables show up in `docker inspect` and in crash reports, files do not.

Blanks and line ends around a value do not count. Times are in seconds. Beside these, `PORT` is the port of
`dashboard up` and `dashboard web` where `--port` is not given, and `PROMETHEUS_MULTIPROC_DIR` is where a machine's or
container's processes gather their metrics; `dashboard up` and the image set it.

| variable | default | what it is |
|---|---|---|
"""


def reference() -> str:
    """The page as Markdown."""
    return INTRODUCTION + "".join(_row(dict(each.metadata)) for each in fields(Config))


def _row(meta: dict[str, object]) -> str:
    default = "" if meta["default"] == "" else f"`{meta['default']}`"
    mark = " 🔑" if meta["secret"] else ""
    return f"| `{meta['env']}`{mark} | {default} | {meta['about']} |\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
