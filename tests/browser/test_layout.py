"""The layout holds at every width with the largest amounts of the contract, long titles and all controls."""

from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.conftest import NARROW, WIDE, Open, Visit
from tests.browser.test_quality import ARRIVED
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.stack import Stack

WIDTHS = [360, 390, 720, 768, 900, 1100, 1280, 1920, 2560]
FINDER = "argus-who-finds"
LARGEST = "999999999999.999999"
LEAST_TITLE_PX = 240
MIN_TARGET_PX = 24
FINGER_PX = 44
MAX_SHIFT = 0.05

KEEP_SHIFTS = """
  window.shifts = { sum: 0, at: 0 };
  new PerformanceObserver((list) => {
    for (const { value, startTime, hadRecentInput } of list.getEntries())
      if (!hadRecentInput) Object.assign(shifts, { sum: shifts.sum + value, at: startTime });
  }).observe({ type: "layout-shift", buffered: true });
"""

# Controls that are lower than this, unless they are the target of a whole card.
LOWER_THAN = """(least) => {
  const ofCard = ({ position, height }) => (position === "absolute" ? parseFloat(height) : 0);
  const heightOf = (each) => Math.max(each.getBoundingClientRect().height, ofCard(getComputedStyle(each, "::after")));
  const all = document.querySelectorAll("button, select, input, summary, a[href]:not(.skip)");
  const isLower = (each) => each.checkVisibility() && heightOf(each) + 0.5 < least;  // 43.99 while it moves
  return [...all].filter(isLower).map((each) => each.outerHTML);
}"""

# Texts that stand in more than one line, or reach over what stands beside or around them.
MISPLACED = """() => {
  const faults = [];
  const box = (element) => element.getBoundingClientRect();
  const all = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
  for (const amount of all(".pool-figure, .pool-parts dd, [role=cell].cell-bounty, .payment-line strong")) {
    const range = document.createRange();
    range.selectNodeContents(amount.querySelector("a") ?? amount);
    const text = range.getBoundingClientRect();
    const name = `${amount.className || amount.tagName} ${amount.textContent}`;
    if (text.height > 1.9 * parseFloat(getComputedStyle(amount).fontSize)) faults.push(`${name} is broken`);
    if (text.right > box(amount.closest(".panel")).right - 8) faults.push(`${name} leaves its panel`);
    for (const beside of amount.parentElement.children) {
      const other = box(beside);
      const inRow = text.top < other.bottom - 1 && other.top < text.bottom - 1;
      const meet = inRow && text.left < other.right - 1 && other.left < text.right - 1;
      if (beside !== amount && other.width && meet) faults.push(`${name} lies over ${beside.className}`);
    }
  }
  for (const part of all("#pool > *"))
    if (box(part).bottom > box(part.parentElement).bottom) faults.push(`${part.className} leaves the pool's panel`);
  for (const part of all(".pool-bar, .pool-bar span"))
    if (box(part).height < 6 || box(part).width < 2) faults.push(`${part.className} cannot be seen`);
  return faults;
}"""


@pytest.fixture(scope="module")
def large_amounts(stack: Stack) -> str:
    """A protocol with the largest possible amounts and a long title."""
    api = stack.api
    protocol_id = make_protocol(api, name="The largest amounts")
    deposit(api, protocol_id, LARGEST, reference="R" * 64)
    finder = make_agent(api, id=FINDER)
    for title, bounty in (("Everything", "999999876543.876542"), ("Rounding, told at length " * 6, "123456.123456")):
        found = file_vulnerability(api, protocol_id, title=title.strip(), bounty=bounty, agentId=finder)
        if title == "Everything":
            path = f"/vulnerabilities/{found['id']}"
            api.validator.post(f"{path}/confirm", {}).expect(200)
            api.owner.post(f"{path}/payment", {"recipient": "0x5afe3c1b9d2e4f60718293a4b5c6d7e8f9012345"}).expect(202)
    return protocol_id


def visit_at(visit: Open, stack: Stack, protocol_id: str, width: int) -> Visit:
    page = visit(stack, "admin", protocol_id, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.see("#findings", "Everything")
    return page


def test_amounts_titles_and_controls_fit_at_every_width_and_findings_can_be_sorted(
    stack: Stack, large_amounts: str, visit: Open
) -> None:
    page = visit_at(visit, stack, large_amounts, WIDTHS[0])
    page.see("#payments", "999,999,876,543.876542 USDC")
    page.page.wait_for_selector(".chart canvas")
    for width in WIDTHS:
        page.page.set_viewport_size({"width": width, "height": 900})
        page.page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        with suppress(PlaywrightTimeout):  # what is drawn anew comes a moment after the new width
            page.page.wait_for_function(f"() => ({MISPLACED})().length === 0")
        assert page.page.evaluate(MISPLACED) == [], width
        assert page.page.evaluate(LOWER_THAN, MIN_TARGET_PX) == [], width
        assert_the_title_can_be_read(page)
        sort_by(page, "Bounty", "Highest bounty first", first="Everything")
        sort_by(page, "Filed", "Newest first", first="Rounding")


def assert_the_title_can_be_read(page: Visit) -> None:
    """With its author and its time."""
    title = page.page.locator(".finding-title", has_text="Rounding").bounding_box()
    assert title
    assert title["width"] >= LEAST_TITLE_PX
    row = page.page.locator("[data-finding]", has_text="Everything")
    assert row.get_by_text(f"by {FINDER}").is_visible()
    assert row.locator(".cell-date").is_visible()


def sort_by(page: Visit, column: str, order: str, first: str) -> None:
    choice = page.page.get_by_label("Sort")
    if choice.is_visible():
        choice.select_option(label=order)
    else:
        page.page.get_by_role("button", name=column, exact=True).click()
    page.page.wait_for_selector(f"[aria-rowindex='2'] >> text={first}")


def test_on_a_laptop_several_findings_are_in_sight(stack: Stack, protocol_id: str, visit: Open) -> None:
    for number in range(8):
        file_vulnerability(stack.api, protocol_id, title=f"Another {number}")
    page = visit(stack, "viewer", protocol_id, viewport={"width": 1366, "height": 650}, reduced_motion="reduce")
    page.see("#findings", "Another 7")
    rows = page.page.locator("[data-finding]").evaluate_all(
        "all => all.map((row) => row.getBoundingClientRect().bottom)"
    )
    assert len([bottom for bottom in rows if bottom <= 650]) >= 5
    assert page.page.evaluate(MISPLACED) == []


def test_on_a_phone_findings_precede_agents_and_controls_of_every_view_and_panel_fit_a_finger(
    stack: Stack, large_amounts: str, visit: Open
) -> None:
    make_protocol(stack.api, name="Another")
    page = visit(stack, "admin", large_amounts, viewport={"width": 390, "height": 844}, has_touch=True)
    page.see("#findings", "Everything")
    assert_findings_precede_agents(page)
    assert page.page.evaluate(LOWER_THAN, FINGER_PX) == []
    stack.api.agent(FINDER).post(f"/agents/{FINDER}/progress", report(large_amounts, "Scan")).expect(202)
    found = page.page.locator("[data-finding]").first.get_attribute("data-finding")
    room = f"/?protocol={large_amounts}&view="
    for path, awaited in {
        "/?view=portfolio": ".need",
        f"{room}overview&q=nothing+has+this": "#agents .agent-name",
        f"{room}overview&finding={found}": ".facts a",
        f"{room}overview&agent={FINDER}": ".side-panel .tasks a",
        f"{room}overview&reserved=true": ".reserved-row",
        f"{room}queue": "#queue [data-finding]",
        f"{room}money&list=ledger": "[data-entry]",
        "/?view=admin&section=audit": "[data-row] a",
        "/?view=admin&section=protocols": "[data-row] a",
        "/ops": "#ops-rooms",
        "/runbooks/README": "li a",
        "/never-made": ".button",
    }.items():
        page.page.goto(stack.url + path)
        page.page.locator(awaited).first.wait_for()
        assert page.page.evaluate(LOWER_THAN, FINGER_PX) == [], path
        page.page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=390)
    agent = page.page.goto(f"{stack.url}{room}overview") and page.page.locator(".agent").first
    agent.click(position={"x": 20, "y": 80})
    page.see(".side-panel", "Last heard")


def assert_findings_precede_agents(page: Visit) -> None:
    """And no finding's row overflows."""
    tops = [page.page.locator(part).bounding_box() for part in ("#findings", "#agents")]
    assert all(tops)
    assert tops[0]["y"] < tops[1]["y"]
    assert tops[0]["y"] < 844
    overflowing = """() => [...document.querySelectorAll(".finding-row")].filter((row) => {
      const bottom = (element) => element.getBoundingClientRect().bottom;
      return [...row.querySelectorAll("*")].some((each) => bottom(each) > bottom(row) + 1);
    }).length"""
    assert page.page.evaluate(overflowing) == 0


def test_the_pool_chart_extends_to_now_and_shows_the_latest_change_as_a_step(
    stack: Stack, large_amounts: str, visit: Open
) -> None:
    page = visit_at(visit, stack, large_amounts, 1280)
    stacked = """(until) => import("/static/js/ui/chart.js").then(({ stacked }) => stacked([
        { at: 0, available: "1.00", reserved: "0.00", paid: "0.00" },
        { at: 100_000, available: "3.00", reserved: "0.00", paid: "0.00" },
    ], until))"""
    times, *_, top = page.page.evaluate(stacked, 160_000)
    assert (times, top) == ([0, 100, 160], [1, 3, 3])
    times, *_, top = page.page.evaluate(stacked, 100_000)
    assert times[-1] > times[-2], "a change of this moment has a plateau behind it, too"


@pytest.mark.parametrize("size", [{"width": 390, "height": 844}, {"width": 1366, "height": 650}])
def test_little_moves_while_the_page_fills(stack: Stack, large_amounts: str, visit: Open, size: dict[str, int]) -> None:
    make_protocol(stack.api, name="Makes the protocols several")
    page = visit(stack, "admin", large_amounts, viewport=size)
    page.run_first(KEEP_SHIFTS)
    for view, awaited in {
        "overview": ".chart canvas",
        "queue": "#queue [data-finding]",
        "money": "[data-payment]",
    }.items():
        page.page.goto(f"{stack.url}/?protocol={large_amounts}&view={view}")
        page.page.locator(awaited).first.wait_for()
        page.page.wait_for_function("() => performance.now() - shifts.at > 700")
        assert page.page.evaluate("shifts.sum") <= MAX_SHIFT, view


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_neither_a_notice_nor_a_banner_covers_the_buttons_of_the_panel(
    stack: Stack, protocol_id: str, visit: Open, size: dict[str, int]
) -> None:
    found = file_vulnerability(stack.api, protocol_id, title="Opened")
    page = visit(stack, "validator", protocol_id, viewport=size, ttl=200)
    page.page.click(f"[data-finding='{found['id']}'] a")
    page.page.wait_for_selector(".side-panel-foot button")
    page.see(".banner", "Your sign-in expires soon")
    file_vulnerability(stack.api, protocol_id, title="Grave", severity="CRITICAL")
    page.see(".notice", "Grave")
    page.page.wait_for_function(ARRIVED)
    edges = [".notice", ".side-panel-foot", ".banner"]
    boxes = [page.page.evaluate("each => document.querySelector(each).getBoundingClientRect()", each) for each in edges]
    assert boxes[0]["bottom"] <= boxes[1]["top"]
    assert boxes[1]["bottom"] <= boxes[2]["top"]
