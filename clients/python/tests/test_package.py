"""The package as users get it: built as a wheel, installed into an empty environment, its README's examples run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.machine_speed import patience
from tests.support.processes import start, stop, until
from tests.support.stack import Stack

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]
EXAMPLE = re.compile(r"<!-- run: as (\w+)(, until Ctrl-C)? -->\n```python\n(.*?)```", re.DOTALL)
MAX_AGENT_LINES, MAX_LIVE_LINES = 15, 10

pytestmark = [pytest.mark.slow]


@dataclass(frozen=True)
class Example:
    role: str
    is_endless: bool
    code: str

    def for_protocol(self, protocol_id: str) -> str:
        assert '"P1"' in self.code
        return self.code.replace('"P1"', f'"{protocol_id}"')

    @property
    def lines(self) -> int:
        return len([line for line in self.code.splitlines() if line])


EXAMPLES = [
    Example(role, bool(endless), code) for role, endless, code in EXAMPLE.findall((PACKAGE / "README.md").read_text())
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(build, check=True, timeout=patience(120))
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    found = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=patience(120))
    pip = [sys.executable, "-m", "pip", "--python", found, "--disable-pip-version-check"]
    # As pip does by itself, but faster: without building packages and without compiling what no example imports.
    subprocess.run([*pip, "install", "--quiet", "--no-compile", "--only-binary", ":all:", wheel], check=True)
    return found


@pytest.fixture
def environment(stack: Stack, protocol_id: str, agent_id: str) -> dict[str, dict[str, str]]:
    """The variables of the examples by role."""
    stack.api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "5000.00"}).expect(201)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DASHBOARD_", "PYTHON"))}
    tokens = {
        "agent": stack.api.token("agent", sub=agent_id, protocols=[protocol_id]),
        "viewer": stack.api.token("viewer", protocols=[protocol_id]),
        "admin": stack.api.token("admin"),
    }
    own = {"DASHBOARD_URL": stack.url, "PYTHONUNBUFFERED": "1"}
    made = {role: inherited | own | {"DASHBOARD_TOKEN": token} for role, token in tokens.items()}
    return made | {"agent id": {"value": agent_id}}


def test_the_wheel_has_the_code_its_types_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata = next(content.read(name).decode() for name in names if name.endswith("/METADATA"))

    assert wheel.name.startswith("dashboard_realtime_client-")
    assert "dashboard_realtime/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dashboard_realtime", "dashboard_realtime_client"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for line in ("Name: dashboard-realtime-client", "License-Expression: Apache-2.0", "Requires-Python: >=3.10"):
        assert f"{line}\n" in metadata


def test_the_examples_are_short() -> None:
    agent, live = EXAMPLES[0], [each for each in EXAMPLES if each.is_endless]

    assert len(EXAMPLES) >= 6
    assert agent.lines <= MAX_AGENT_LINES
    assert [each.lines for each in live if each.lines > MAX_LIVE_LINES] == []
    assert agent.code in (ROOT / "README.md").read_text(encoding="utf-8"), "the repository's README shows the same one"


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if not each.is_endless], ids=["agent", "async agent", "REST"]
)
def test_an_example_of_the_readme_works(python, environment, stack, protocol_id, example) -> None:
    code = example.for_protocol(protocol_id)
    done = subprocess.run(
        [python, "-c", code],
        env=environment[example.role],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if example is EXAMPLES[0]:
        agent_id = environment["agent id"]["value"]
        tasks = stack.api.admin.get(f"/agents/{agent_id}/tasks").expect(200)["items"]
        ends = [("Scan Vault.sol", "COMPLETED"), ("Fuzz Pool.sol", "COMPLETED"), ("Review Oracle.sol", "FAILED")]
        assert [(task["name"], task["status"]) for task in tasks] == ends
        (finding,) = stack.api.admin.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"]
        assert (finding["title"], finding["bounty"]) == ("Reentrancy in withdraw()", "100.00")
    elif example.role == "admin":
        assert "VALIDATION_FAILED {'amount': " in done.stdout


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.is_endless], ids=["thread", "async", "callbacks"]
)
def test_a_live_example_shows_each_change(python, environment, stack, protocol_id, example) -> None:
    log = stack.folder / f"{protocol_id}.log"
    code = example.for_protocol(protocol_id)
    process = start([python, "-c", code], log=log, env=environment[example.role], cwd=stack.folder)
    try:
        until(lambda: "live 5000.00" in log.read_text(), 20, "the state is shown")
        stack.api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "17.00"}).expect(201)
        until(lambda: "live 5017.00" in log.read_text(), 20, "the deposit is shown")
    finally:
        stop(process, sign=signal.SIGINT)
    assert "KeyboardInterrupt" in log.read_text().splitlines()[-1]
    assert "never retrieved" not in log.read_text()


def test_the_package_runs_outside_of_the_repository(python, tmp_path) -> None:
    show = "import dashboard_realtime; print(dashboard_realtime.__file__)"
    done = subprocess.run([python, "-c", show], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert Path(done.stdout).is_relative_to(python.parents[1])
