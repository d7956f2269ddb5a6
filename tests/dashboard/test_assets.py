"""The page's modules are npm packages, pinned by hash, and installed once."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.dashboard import assets


def test_the_lock_file_pins_every_package_by_hash_and_names_no_registry() -> None:
    packages = json.loads(assets.LOCK.read_text())["packages"]
    pinned = {name: each for name, each in packages.items() if name}
    assert {name for name, each in pinned.items() if not each["integrity"].startswith("sha512-")} == set()
    assert {name for name, each in pinned.items() if "resolved" in each} == set()
    assert packages[""]["dependencies"] == json.loads(assets.MANIFEST.read_text())["dependencies"]


def test_modules_that_are_up_to_date_are_not_installed_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path)
    monkeypatch.setattr(assets, "INSTALLED", tmp_path / "installed.sha256")
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
