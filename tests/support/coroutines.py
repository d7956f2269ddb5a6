"""Runs a coroutine in a thread: the browser's tests leave the main thread a running loop."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, work).result()
