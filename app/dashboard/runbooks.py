"""The runbooks of docs/runbooks as pages: the folder `runbooks` beside this file is a link to it, a copy in a wheel."""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.core.errors import NotFound

FOLDER = Path(__file__).parent / "runbooks"
INDEX = "README"
_NAME = re.compile(r"[A-Za-z]{1,60}")
_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>{title} · Dashboard Realtime</title>
    <script src="/static/js/early.js"></script>
    <link rel="icon" href="/static/mark.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/static/css/colours.css" />
    <link rel="stylesheet" href="/static/css/tokens.css" />
    <link rel="stylesheet" href="/static/css/parts.css" />
    <link rel="stylesheet" href="/static/css/ops.css" />
  </head>
  <body>
    <header class="bar"><nav class="bar-links" aria-label="More pages">
      <a href="/ops">Operations</a><a href="/runbooks/README">All runbooks</a>
    </nav></header>
    <main class="runbook" id="main">
{content}
    </main>
  </body>
</html>
"""


@cache
def page(name: str) -> str:
    """The runbook of this name as HTML; of `README` with a list of all. Raises NotFound."""
    file = FOLDER / f"{name}.md"
    if not _NAME.fullmatch(name) or not file.is_file():
        raise NotFound(f"There is no runbook {name!r}.")
    content = _render(file.read_text(encoding="utf-8"))
    if name == INDEX:
        others = sorted(each.stem for each in FOLDER.glob("*.md") if each.stem != INDEX)
        content += "\n<ul>" + "".join(f'<li><a href="/runbooks/{each}">{each}</a></li>' for each in others) + "</ul>"
    return _PAGE.format(title=escape(name), content=content)


def _render(text: str) -> str:
    """The text as HTML, with an anchor at each heading; HTML within the text is shown as text."""
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", inline.content.lower().replace(" ", "-"))
        if inline.children:
            inline.children = list(_with_links(inline.children))
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _with_links(tokens: list[Token]) -> Iterator[Token]:
    """Links to runbooks and other hosts; any other page is not served here, so its path in the repository is shown."""
    shown = ""
    for token in tokens:
        if token.type == "link_open":
            target, shown = str(token.attrGet("href")), ""
            path, _, anchor = target.partition("#")
            if "/" not in path and path.endswith(".md"):
                token.attrSet("href", f"/runbooks/{path.removesuffix('.md')}" + (f"#{anchor}" if anchor else ""))
            elif not target.startswith("https://"):
                shown = path.replace("../../", "").replace("../", "docs/")
        if not shown or token.type not in ("link_open", "link_close"):
            yield token
        elif token.type == "link_close":
            yield Token("text", "", 0, content=" (")
            yield Token("code_inline", "code", 0, content=shown)
            yield Token("text", "", 0, content=")")
