"""Writes docs/configuration.md from the settings: `python -m app.config.reference > docs/configuration.md`."""

import sys
from dataclasses import fields

from app.config import Config

INTRODUCTION = """\
# Configuration

All settings are environment variables, read and checked once at the start: a process with an invalid setting does
not start, and reports every fault at once. This page is generated from `app/config/settings.py` (`make docs`).

Any variable may come from a file instead: `NAME_FILE=/run/secrets/name` is read if `NAME` is not set. Use that for
secrets (marked with a key below): variables show up in `docker inspect` and in crash reports, files do not. White space
around a value is ignored, and an empty value counts as not set.

Times are in seconds. In addition, `PORT` is the default of `--port` for `dashboard up` and `dashboard web`, and
`PROMETHEUS_MULTIPROC_DIR` is the folder in which the processes of a machine or container share their metrics;
`dashboard up` and the image set it.

| variable | default | description |
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
