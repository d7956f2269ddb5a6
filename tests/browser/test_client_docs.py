"""The example of docs/clients.md runs unchanged."""

import os
import re
from pathlib import Path

from tests.factories import deposit
from tests.support import js_package
from tests.support.node import ROOT, node_binary
from tests.support.processes import start, stop, until
from tests.support.stack import Stack


def test_the_documented_example_prints_a_deposit(stack: Stack, protocol_id: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- run: [^>]+ -->\n```js\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "example.js").write_text(example.group(1), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(js_package.installed() / "node_modules")
    token = stack.api.token("viewer", protocols=[protocol_id])
    settings = {"DASHBOARD_URL": stack.url, "PROTOCOL": protocol_id, "TOKEN": token}
    log = tmp_path / "out.log"
    process = start([node_binary(), "example.js"], log=log, env=os.environ | settings, cwd=tmp_path)
    try:
        until(lambda: "live 0.00 USDC available" in log.read_text(), 15, "the example is live")
        deposit(stack.api, protocol_id, "42.00")
        until(lambda: "live 42.00 USDC available" in log.read_text(), 5, "the example tells of the deposit")
        assert "bounty_pool:updated" in log.read_text()
    finally:
        stop(process)
