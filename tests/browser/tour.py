"""The README's pictures: `make screenshots` starts the demo, visits it, and writes docs/img/*.webp."""

import base64
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from app.cli.demo import CRITICAL
from tests.browser.chromium import ARGUMENTS, chromium
from tests.support.machine_speed import patience
from tests.support.project_files import ROOT
from tests.support.stack import START_SECONDS, Stack

FOLDER = ROOT / "docs" / "img"
QUALITY = 72
LIVELY_SECONDS = 100  # until the demo has a history: payments, decisions, a failed agent


@dataclass(frozen=True)
class Picture:
    """`path` is opened as `role`; then `clicks` are made, and `awaits` must be visible."""

    name: str
    role: str
    path: str
    awaits: str
    scheme: str = "light"
    size: tuple[int, int] = (1440, 900)
    clicks: tuple[str, ...] = field(default=())
    has_history: bool = False  # opened at the start: it shows what happened since


PICTURES = (
    Picture("ops", "admin", "/ops", "[data-cause] >> nth=0", has_history=True),
    Picture("light", "owner", "/?protocol=demo&view=overview", ".chart canvas", has_history=True),
    Picture("dark", "validator", "/?protocol=demo&view=overview&agents=working", ".chart canvas", "dark"),
    Picture("narrow", "validator", "/?protocol=demo&view=queue", "#queue [data-finding]", size=(390, 844)),
    Picture(
        "panel", "validator", f"/?protocol=demo&view=overview&q={CRITICAL.split()[0]}&status=PENDING",
        ".side-panel pre", clicks=(f"text={CRITICAL}",),
    ),
    Picture("money", "owner", "/?protocol=demo&view=money", ".payment-FAILED"),
    Picture("portfolio", "owner", "/?view=portfolio", "[data-protocol]"),
    Picture("admin", "admin", "/?view=admin", "[aria-label='Issued tokens'], #issue"),
)  # fmt: skip


class Demo(Stack):
    def start(self) -> "Demo":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = self._run("up", "--demo", "--port", str(self.port))
        self.wait_for_log("ready: ", START_SECONDS)
        return self


def visit(browser: Browser, demo: Stack, picture: Picture) -> Page:
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=1.5,
        color_scheme=picture.scheme,  # type: ignore[arg-type]  # one of the two that it takes
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('dashboard.demoRole', '{picture.role}')")
    page.goto(demo.url + picture.path)
    return page


def take(page: Page, picture: Picture) -> int:
    """Write one picture; return its size in bytes."""
    for selector in picture.clicks:
        page.click(selector)
    page.wait_for_selector(picture.awaits, timeout=patience(60) * 1000)
    page.wait_for_timeout(2000)  # fonts, charts and the first events
    data = _webp(page)
    (FOLDER / f"{picture.name}.webp").write_bytes(data)
    page.context.close()
    return len(data)


def _webp(page: Page) -> bytes:
    """Playwright writes PNG and JPEG only; Chromium itself also WebP, at a quarter of the size."""
    options: dict[str, Any] = {"format": "webp", "quality": QUALITY}
    answer = page.context.new_cdp_session(page).send("Page.captureScreenshot", options)
    return base64.b64decode(answer["data"])


def main() -> None:
    path, environment = chromium()
    wanted = [each for each in PICTURES if not sys.argv[1:] or each.name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, Demo(Path(folder)) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(path), args=ARGUMENTS, env={**os.environ, **environment}
        )
        opened = {each: visit(browser, demo, each) for each in wanted if each.has_history}
        time.sleep(LIVELY_SECONDS)
        for picture in wanted:
            page = opened.get(picture) or visit(browser, demo, picture)
            print(f"{picture.name}.webp: {take(page, picture):,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
