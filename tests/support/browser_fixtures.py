"""The browser of a test run: a start of Chromium and of Playwright costs two seconds of processor time."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path, environment = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(path), args=ARGUMENTS, env={**os.environ, **environment}
        )
        yield launched
        launched.close()
