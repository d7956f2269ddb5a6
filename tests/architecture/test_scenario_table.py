"""docs/scenarios.md leads from every scenario to its deciding function and to a test file of its name."""

import re

from tests.support.stack import ROOT

TABLE = ROOT / "docs" / "scenarios.md"
SCENARIOS = [
    "Agent task progress update",
    "Agent task completion",
    "Agent task failure",
    "Bounty pool deposit",
    "Bounty pool payment release",
    "Bounty pool reservation",
    "Vulnerability confirmed",
    "Vulnerability paid",
    "Vulnerability rejected",
    "User joins protocol room",
    "Event broadcast to protocol room",
    "User leaves protocol room",
    "Event with standard fields",
    "Event with protocol context",
    "Event serialization",
    "Client disconnected during event",
    "Client reconnects after missing events",
    "Event emission failure",
    "High-frequency task updates",
    "Burst of vulnerability updates",
    "Event buffer overflow",
]


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return [row for row in cells if not row[0].startswith("**")]


def file_name(scenario: str) -> str:
    return "test_" + re.sub(r"[^a-z]+", "_", scenario.lower()) + ".py"


def test_the_table_has_one_row_for_each_scenario_of_the_specification_in_its_order() -> None:
    assert [row[0] for row in rows()] == SCENARIOS


def test_every_scenario_has_a_test_file_of_its_name_which_the_table_names() -> None:
    for scenario, _, _, test in rows():
        assert (ROOT / "tests" / "scenarios" / file_name(scenario)).is_file()
        assert file_name(scenario) in test


def test_every_scenario_names_a_deciding_function_that_exists() -> None:
    for scenario, decided_by, _, _ in rows():
        functions = re.findall(r"\[`(\w+)` in [^]]+\]\(([^)]+)\)", decided_by)
        assert functions, scenario
        for name, link in functions:
            source = (TABLE.parent / link).read_text(encoding="utf-8")
            assert re.search(rf"^ *(?:def|local function) {name}\(", source, re.MULTILINE), (scenario, name, link)


def test_every_link_in_the_table_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TABLE.read_text(encoding="utf-8"))
    assert len(links) > 3 * len(SCENARIOS) - 1
    assert [link for link in links if not (TABLE.parent / link).resolve().is_file()] == []
