"""The runbooks that the operators' page links to are served as pages, and are part of the package."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.dashboard import assets, runbooks
from tests.support.api import Api
from tests.support.project_files import ROOT

pytestmark = pytest.mark.database("sqlite")

PAGES = sorted(page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md"))
CAUSES = ROOT / "app" / "dashboard" / "static" / "js" / "ui" / "operations-causes.js"


def test_each_runbook_is_a_page_whose_links_lead_to_pages(api: Api) -> None:
    linked = set(re.findall(r'\["(Dashboard\w+)"', CAUSES.read_text(encoding="utf-8")))
    for name in PAGES:
        answer = api.with_token(None).get(f"//runbooks/{name}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        linked |= set(re.findall(r'href="/runbooks/(\w+)', answer.body.decode()))
    assert len(linked) >= len(PAGES)
    assert linked <= set(PAGES)


@pytest.mark.parametrize("name", ["DashboardNone", "..%2Fassets", "readme", "A" * 5000])
def test_anything_else_is_not_found(api: Api, name: str) -> None:
    assert api.with_token(None).get(f"//runbooks/{name}").status == 404


def test_anchors_links_and_code_are_rendered_and_html_is_shown_as_text() -> None:
    text = "# A & B\nIs `x < 1`? <script>x</script> [no](javascript:x)\n\nTo do:\n"
    text += "- see [it](README.md#valkey-cli),\n  now\n- [**far**](../scaling.md)\n- [W](https://w.org)\n\n      <b>\n"
    assert runbooks._render(text) == (
        '<h1 id="a-&amp;-b">A &amp; B</h1>\n'
        "<p>Is <code>x &lt; 1</code>? &lt;script&gt;x&lt;/script&gt; [no](javascript:x)</p>\n"
        "<p>To do:</p>\n"
        "<ul>\n"
        '<li>\n<p>see <a href="/runbooks/README#valkey-cli">it</a>,\nnow</p>\n</li>\n'
        "<li>\n<p><strong>far</strong> (<code>docs/scaling.md</code>)</p>\n</li>\n"
        '<li>\n<p><a href="https://w.org">W</a></p>\n<pre><code>&lt;b&gt;\n</code></pre>\n</li>\n'
        "</ul>\n"
    )


def test_a_wheel_holds_every_runbook_and_the_client_of_the_page(tmp_path: Path) -> None:
    """The package's folder is a link to docs/runbooks; the image copies what the link leads to."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "app", source / "app", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("docs/runbooks", "tasks"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "wsgi.py", "celery_worker.py"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"app/dashboard/runbooks/{page}.md" for page in PAGES} <= set(names)
    client = [
        path.relative_to(assets.CLIENT).as_posix()
        for each in assets.CLIENT_MODULES
        for path in assets.CLIENT.glob(each)
    ]
    assert {f"app/dashboard/static/vendor/client/{name}" for name in client} <= set(names)
    assert "COPY clients/js/src clients/js/src" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY docs/runbooks docs/runbooks" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "!docs/runbooks" in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
