"""The page's modules are npm packages, pinned by hash, and installed once."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.dashboard import assets

ENTRY_MODULES = ("room-client.js", "sse.js")


def test_the_lock_file_pins_every_package_by_hash_and_names_no_registry() -> None:
    packages = json.loads(assets.LOCK.read_text())["packages"]
    pinned = {name: each for name, each in packages.items() if name}
    assert {name for name, each in pinned.items() if not each["integrity"].startswith("sha512-")} == set()
    assert {name for name, each in pinned.items() if "resolved" in each} == set()
    assert packages[""]["dependencies"] == json.loads(assets.MANIFEST.read_text())["dependencies"]


def test_modules_that_are_up_to_date_are_not_installed_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path)
    monkeypatch.setattr(assets, "INSTALLED", tmp_path / "installed.sha256")
    monkeypatch.setattr(assets, "CLIENT_COPY", tmp_path / "client")
    installs: list[str] = []

    def install_stand_ins(folder: str) -> None:
        installs.append(folder)
        for member in assets.MODULES.values():
            file = Path(folder, "node_modules", member)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(member)

    monkeypatch.setattr(assets, "_run_npm_ci", install_stand_ins)

    assert [assets.install(), assets.install()] == [True, False]
    assert len(installs) == 1
    assert (tmp_path / "preact.js").read_text() == assets.MODULES["preact.js"]
    assert (tmp_path / "uplot.js").read_text() == assets.MODULES["uplot.js"] + "\nexport default uPlot;\n"
    (tmp_path / "lock.json").write_text("{}")
    monkeypatch.setattr(assets, "LOCK", tmp_path / "lock.json")
    assert assets.install(), "another lock file is installed"
    monkeypatch.setattr(assets, "MODULES", assets.MODULES | {"preact.js": "htm/preact/other.js"})
    assert assets.install(), "another file of a package is installed"


def test_the_page_loads_exactly_the_modules_of_the_client_package() -> None:
    """Fails if the copy is stale; `make setup` renews it."""
    needed = {path for start in ENTRY_MODULES for path in imported_by(assets.CLIENT / start)}
    copied = {path.relative_to(assets.CLIENT_COPY): path.read_bytes() for path in assets.CLIENT_COPY.rglob("*.js")}
    assert copied == {path.relative_to(assets.CLIENT): path.read_bytes() for path in needed}


def imported_by(module: Path) -> set[Path]:
    """The module and all that it imports, at any depth."""
    found, left = set[Path](), [module.resolve()]
    while left:
        path = left.pop()
        found.add(path)
        names = re.findall(r"""(?:from|import\() ?"(\.{1,2}/[^"]+)\"""", path.read_text(encoding="utf-8"))
        left += [target for name in names if (target := (path.parent / name).resolve()) not in found]
    return found


def test_a_changed_and_a_removed_module_of_the_client_reach_the_copy(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(assets, "CLIENT", tmp_path / "src")
    monkeypatch.setattr(assets, "CLIENT_COPY", tmp_path / "copy")
    for name in ("room-client.js", "room/state.js"):
        (tmp_path / "src" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "src" / name).write_text("1")
    assert [assets.install(), assets.install()] == [True, False]
    (tmp_path / "src/room-client.js").write_text("2")
    (tmp_path / "src/room/state.js").rename(tmp_path / "src/room/states.js")
    assert [assets.install(), assets.install()] == [True, False]
    assert (tmp_path / "copy/room-client.js").read_text() == "2"
    assert [path.name for path in (tmp_path / "copy/room").iterdir()] == ["states.js"]


def test_where_the_package_is_not_the_copy_of_the_wheel_stays(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(assets, "CLIENT", tmp_path / "absent")
    assert assets.install() is False
    assert assets.are_installed()


def test_without_npm_the_error_names_a_remedy(monkeypatch: Any) -> None:
    monkeypatch.setattr(assets.shutil, "which", lambda *_, **__: None)
    with pytest.raises(assets.AssetError, match=r"Install Node\.js 20 or newer"):
        assets._run_npm_ci(".")


def test_a_registry_that_does_not_answer_is_reported(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path))
    monkeypatch.setattr(assets, "INSTALLED", tmp_path / "installed.sha256")
    with pytest.raises(assets.AssetError, match=r"`npm ci` failed:\n.*ECONNREFUSED"):
        assets.install()
