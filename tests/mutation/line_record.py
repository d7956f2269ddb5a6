"""A pytest plugin that records which lines of a folder each test runs, and how long the test takes.

Own code in place of coverage.py with dynamic contexts: forty lines instead of one more dependency. Threads of a test
are recorded, processes are not, since tests of whole processes are too slow to run for each mutant.

    LINE_RECORD=record.json LINE_FOLDER=app/protocols python -m pytest -p tests.mutation.line_record …
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_FOLDER = str(Path(os.environ["LINE_FOLDER"]).resolve()) + os.sep
_HAS_LINES = any(Path(_FOLDER).glob("*.py"))
_ROOT = str(Path.cwd()) + os.sep
_lines: set[tuple[str, int]] = set()
record: dict[str, Any] = {}


def _trace(frame: FrameType, event: str, _argument: Any) -> Any:
    name = frame.f_code.co_filename
    if not name.startswith(_FOLDER):
        return None
    _lines.add((name, frame.f_lineno))
    return _trace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _lines.clear()
    began = time.monotonic()
    if _HAS_LINES:
        threading.settrace(_trace)
        sys.settrace(_trace)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        found = defaultdict(list)
        for name, line in sorted(set(_lines)):
            found[name.removeprefix(_ROOT)].append(line)
        record[item.nodeid] = {"seconds": time.monotonic() - began, "lines": found}


def pytest_sessionfinish() -> None:
    Path(os.environ["LINE_RECORD"]).write_text(json.dumps(record), encoding="utf-8")
