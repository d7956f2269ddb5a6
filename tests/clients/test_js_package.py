"""The JavaScript package, as npm packs and installs it: its size, its types, its hook, and what its README shows."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.factories import deposit, make_agent
from tests.support import document_tools, js_package
from tests.support.machine_speed import patience
from tests.support.node import node_binary
from tests.support.processes import start, stop, until
from tests.support.project_files import ROOT, project_files
from tests.support.stack import Stack

SOURCES = js_package.SOURCES
MAX_BYTES = 8_000
README = SOURCES / "README.md"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def modules() -> Path:
    return js_package.installed() / "node_modules"


@pytest.fixture
def project(tmp_path: Path, modules: Path) -> Path:
    """A user's project in which the package is installed."""
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(modules)
    return tmp_path


def run_node(script: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [node_binary(), script], cwd=folder, env=os.environ | environment, capture_output=True, text=True,
        timeout=patience(60),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tarball_holds_the_sources_their_types_and_nothing_else(modules: Path) -> None:
    package = modules / js_package.NAME
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {name.partition("/")[0] for name in files} == {"LICENSE", "README.md", "package.json", "src", "types"}
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    manifest = json.loads((package / "package.json").read_text(encoding="utf-8"))
    named = [
        target.removeprefix("./")
        for entry in manifest["exports"].values()
        if isinstance(entry, dict)
        for target in entry.values()
    ]
    assert set(named) <= files
    server = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (manifest["version"], manifest["license"]) == (server["version"], server["license"])


def test_each_entry_is_imported_and_nothing_else_is_needed(project: Path) -> None:
    (project / "entries.js").write_text(
        """
        const names = ["", "/sse", "/react", "/agent", "/rest"].map((each) => `@dashboard-realtime/client${each}`);
        for (const name of names) console.log(Object.keys(await import(name)).join());
        """
    )
    lines = run_node("entries.js", project).split()
    assert lines == ["RoomClient,Status", "eventParser,sse", "useRoom", "Agent,ApiError", "ApiError,RestClient"]
    sources = "".join(path.read_text(encoding="utf-8") for path in project_files(SOURCES / "src", "*.js"))
    assert set(re.findall(r'^(?:im|ex)port .* from "([^."].*)";$', sources, re.MULTILINE)) == {"react"}


def test_the_room_client_is_small(modules: Path, tmp_path: Path) -> None:
    """Bundled and minified by esbuild, gzipped, without Socket.IO."""
    esbuild = document_tools.modules() / "esbuild" / "bin" / "esbuild"
    source = modules / js_package.NAME / "src" / "room-client.js"
    target = tmp_path / "bundle.js"
    argv = [node_binary(), esbuild, source, "--bundle", "--minify", "--format=esm", f"--outfile={target}"]
    subprocess.run(argv, check=True, capture_output=True, timeout=patience(60))
    assert len(gzip.compress(target.read_bytes())) < MAX_BYTES


def test_the_types_accept_what_is_right_and_refuse_what_is_not(project: Path) -> None:
    shutil.copyfile(HERE / "types.ts", project / "types.ts")
    options = ["--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "ES2022", "--module", "NodeNext"]
    options += ["--skipDefaultLibCheck", "--lib", "ES2022,DOM", "--types", "node"]  # TypeScript's own are right
    compiled = document_tools.run("tsc", *options, "types.ts", cwd=project)
    assert compiled.returncode == 0, compiled.stdout


@pytest.mark.parametrize("renderer", ["react", "preact"])
def test_the_hook_shows_the_room_and_leaves_it(modules: Path, tmp_path: Path, renderer: str) -> None:
    place = tmp_path / "node_modules"
    place.mkdir()
    for path in modules.iterdir():
        if path.name not in ("react", "@dashboard-realtime") and not path.name.startswith("."):
            (place / path.name).symlink_to(path.resolve())
    shutil.copytree(modules / "@dashboard-realtime", place / "@dashboard-realtime")
    if renderer == "react":
        (place / "react").symlink_to((modules / "react").resolve())
    else:
        (place / "react").mkdir()
        (place / "react" / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
        (place / "react" / "index.js").write_text('export * from "preact/compat";')
    for path in (HERE / "hook.mjs", SOURCES / "test" / "room.mjs", SOURCES / "test" / "waiting.mjs"):
        shutil.copyfile(path, tmp_path / path.name)
    assert run_node("hook.mjs", tmp_path, RENDERER=renderer).split()[-1] == "passed"


def example(name: str) -> str:
    found = re.search(rf"<!-- run: {name} -->\n```js\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, name
    return found.group(1)


def test_a_live_protocol_takes_ten_lines() -> None:
    assert all(len(example(name).splitlines()) <= 10 for name in ("room", "stream"))


@pytest.mark.parametrize("name", ["room", "stream"])
def test_the_documented_room_shows_a_deposit(stack: Stack, protocol_id: str, project: Path, name: str) -> None:
    (project / "room.js").write_text(example(name), encoding="utf-8")
    token = stack.api.token("viewer", protocols=[protocol_id])
    given = {"DASHBOARD_URL": stack.url, "DASHBOARD_TOKEN": token, "PROTOCOL": protocol_id}
    log = project / "log"
    process = start([node_binary(), "room.js"], log=log, env=os.environ | given, cwd=project)
    try:
        until(lambda: "live 0.00" in log.read_text(), 20, f"the room is live: {log}")
        deposit(stack.api, protocol_id, "42.00")
        until(lambda: "live 42.00" in log.read_text(), 10, f"the deposit is shown: {log}")
    finally:
        stop(process)


def test_the_documented_agent_and_calls_take_effect(stack: Stack, protocol_id: str, project: Path) -> None:
    agent_id = make_agent(stack.api)
    for name in ("agent", "rest"):
        (project / f"{name}.js").write_text(example(name), encoding="utf-8")
    given = {
        "DASHBOARD_URL": stack.url,
        "PROTOCOL": protocol_id,
        "AGENT_TOKEN": stack.api.token("agent", sub=agent_id, protocols=[protocol_id]),
        "OWNER_TOKEN": stack.api.token("owner", protocols=[protocol_id]),
    }
    told = run_node("agent.js", project, **given)
    assert "[] { sent: " in told
    assert "dropped: 0, refused: 0" in told
    tasks = stack.api.admin.get(f"/agents/{agent_id}/tasks").expect(200)["items"]
    assert [(each["name"], each["status"]) for each in tasks] == [
        ("Scan Vault.sol", "COMPLETED"), ("Fuzz Pool.sol", "COMPLETED"), ("Prove Oracle.sol", "FAILED"),
    ]  # fmt: skip
    assert tasks[-1]["error"] == {"code": "Error", "message": "out of gas"}
    (found,) = stack.api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"]
    assert (found["title"], found["severity"], found["agentId"]) == ("Reentrancy in withdraw()", "CRITICAL", agent_id)

    lines = run_node("rest.js", project, **given).splitlines()
    assert lines[:2] == ["1000.00", "DEPOSIT 1000.00"]
    assert re.fullmatch(r"404 \w+ \S+", lines[2])
