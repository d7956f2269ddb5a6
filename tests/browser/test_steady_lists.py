"""No row of a live list moves under the pointer."""

from tests.browser.conftest import NARROW, Open, Visit
from tests.factories import file_vulnerability, make_agent, report
from tests.support.stack import Stack

# Ids and places of the rows in sight.
PLACES = """() => [...document.querySelectorAll("[data-finding]")].map(
  (row) => [row.dataset.finding, row.getBoundingClientRect().top],
)"""

# Some frames later: what follows a scroll or the pointer is drawn, however long each frame takes.
FRAMES = "async () => { for (let count = 5; count; count -= 1) await new Promise(requestAnimationFrame); }"


def file_many(stack: Stack, protocol_id: str, word: str, count: int) -> list[str]:
    return [file_vulnerability(stack.api, protocol_id, title=f"{word} {number}")["id"] for number in range(count)]


def centre(visit: Visit, selector: str) -> tuple[float, float]:
    box = visit.page.locator(selector).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_click_hits_the_row_under_the_pointer_though_others_were_filed(
    stack: Stack, protocol_id: str, visit: Open
) -> None:
    known = file_many(stack, protocol_id, "Known", 3)
    page = visit(stack, "validator", protocol_id)
    page.see(".finding-title", "Known 0")
    page.page.mouse.move(*centre(page, f"[data-finding='{known[1]}'] >> text=Reject"))
    page.page.evaluate(FRAMES)
    before = page.page.evaluate(PLACES)
    file_many(stack, protocol_id, "Later", 3)
    page.see("#findings .news", "3 new")
    assert page.page.evaluate(PLACES) == before
    stack.api.validator.post(f"/vulnerabilities/{known[0]}/confirm", {}).expect(200)
    page.see(f"[data-finding='{known[0]}']", "confirmed")
    page.page.mouse.down()
    page.page.mouse.up()
    page.see("dialog .dialog-about", "Known 1")
    page.page.keyboard.press("Escape")
    page.page.click("#findings .news")
    page.page.wait_for_selector("[data-finding] >> text=Later 2")
    page.page.mouse.move(2, 2)
    page.page.evaluate("document.activeElement.blur()")
    file_many(stack, protocol_id, "Last", 1)
    page.see("[aria-rowindex='2']", "Last 0")
    assert page.problems == []


def test_a_scrolled_list_stays_where_it_is(stack: Stack, protocol_id: str, visit: Open) -> None:
    file_many(stack, protocol_id, "Known", 40)
    page = visit(stack, "viewer", protocol_id)
    page.see("#findings", "All statuses (40)")
    page.page.evaluate("document.querySelector('.finding-scroll').scrollTo(0, 900)")
    page.page.evaluate(FRAMES)
    before = page.page.evaluate(PLACES)
    file_many(stack, protocol_id, "Later", 2)
    page.see("#findings .news", "2 new")
    assert page.page.evaluate(PLACES) == before
    page.page.click("#findings .news")
    page.see("[aria-rowindex='2']", "Later 1")


def test_failed_agents_come_first_but_not_under_the_pointer(stack: Stack, protocol_id: str, visit: Open) -> None:
    names = ("Alpha", "Beta", "Gamma")
    ids = {name: make_agent(stack.api, name=name) for name in names}

    def tell(name: str, **more: object) -> None:
        body = report(protocol_id, "scan", 20, **more)
        stack.api.agent(ids[name]).post(f"/agents/{ids[name]}/progress", body).expect(202)

    for name in names:
        tell(name)
    page = visit(stack, "viewer", protocol_id)
    first = ".agent >> nth=0"
    page.see(".agent", "Gamma")
    page.page.mouse.move(*centre(page, first))
    page.page.evaluate(FRAMES)
    tell("Gamma", status="FAILED", error="out of gas")
    page.see(f"[data-agent='{ids['Gamma']}']", "out of gas")
    assert "Alpha" in page.text(first)
    page.see("#agents .news", "Order changed")
    page.page.mouse.move(2, 2)
    page.page.wait_for_function("() => document.querySelector('.agent').textContent.includes('Gamma')")


# The rest of the list arrives; before the page redraws, the table alone does, since its size changes.
ARRIVE = """async (found) => {
  const frames = async (count) => { while (count--) await new Promise(requestAnimationFrame); };
  const { findings } = dashboard;
  findings.isLoaded = false;
  dashboard.redraw();
  await frames(3);
  findings.add([{ ...found, id: "the-rest", title: "The rest", createdAt: new Date().toISOString() }]);
  findings.isLoaded = true;
  document.querySelector(".finding-scroll").style.width = "300px";
  await frames(5);
  dashboard.redraw();
  await frames(3);
}"""


def test_on_a_touch_screen_the_rest_of_the_list_is_no_news(stack: Stack, protocol_id: str, visit: Open) -> None:
    (known,) = file_many(stack, protocol_id, "Known", 1)
    page = visit(stack, "viewer", protocol_id, viewport=NARROW, has_touch=True, is_mobile=True)
    page.page.wait_for_function("() => dashboard.findings.isLoaded")
    page.page.evaluate(ARRIVE, stack.api.viewer.get(f"/vulnerabilities/{known}").expect(200))
    page.see("[data-finding]", "The rest")
    assert page.page.locator("#findings .news").count() == 0
