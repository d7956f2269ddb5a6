"""The runbooks of docs/runbooks as pages: the folder `runbooks` beside this file is a link to it, a copy in a wheel.

They use little of Markdown, so it is rendered here, without a library: headings, paragraphs, lists, indented code, and
within a line code and links. Everything is escaped.
"""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

from app.core.errors import NotFound

FOLDER = Path(__file__).parent / "runbooks"
INDEX = "README"
_NAME = re.compile(r"[A-Za-z]{1,60}")
_LISTED = re.compile(r"(-|\d+\.) ")
_INLINE = re.compile(r"`([^`]+)`|\[([^\]]+)\]\(([^)]+)\)")
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
    content = "\n".join(_render(file.read_text(encoding="utf-8")))
    if name == INDEX:
        others = sorted(each.stem for each in FOLDER.glob("*.md") if each.stem != INDEX)
        content += "\n<ul>" + "".join(f'<li><a href="/runbooks/{each}">{each}</a></li>' for each in others) + "</ul>"
    return _PAGE.format(title=escape(name), content=content)


def _render(text: str) -> Iterator[str]:
    for is_blank, lines in groupby(text.splitlines(), key=lambda line: not line.strip()):
        if not is_blank:
            yield from _block(list(lines))


def _block(lines: list[str]) -> Iterator[str]:
    """A paragraph, a heading, indented code, or a list, which may follow a paragraph without a blank line."""
    if lines[0].startswith("    "):
        yield f"<pre><code>{escape(chr(10).join(line.removeprefix('    ') for line in lines))}</code></pre>"
    elif heading := re.match(r"(#{1,3}) (.*)", lines[0]):
        level, words = len(heading[1]), heading[2]
        yield f'<h{level} id="{escape(words.lower().replace(" ", "-"))}">{_inline(words)}</h{level}>'
        if lines[1:]:
            yield from _block(lines[1:])
    else:
        first = next((at for at, line in enumerate(lines) if _LISTED.match(line)), len(lines))
        if first:
            yield f"<p>{_inline(' '.join(lines[:first]))}</p>"
        if lines[first:]:
            yield _list(lines[first:])


def _list(lines: list[str]) -> str:
    """Lines without a mark go on with the item before them."""
    items: list[str] = []
    for line in lines:
        if mark := _LISTED.match(line):
            items.append(line[mark.end() :])
        else:
            items[-1] += " " + line.strip()
    kind = "ul" if lines[0].startswith("-") else "ol"
    return f"<{kind}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{kind}>"


def _inline(text: str) -> str:
    parts, at = [], 0
    for match in _INLINE.finditer(text):
        code, words, target = match.groups()
        parts += [escape(text[at : match.start()]), f"<code>{escape(code)}</code>" if code else _link(words, target)]
        at = match.end()
    return "".join([*parts, escape(text[at:])])


def _link(words: str, target: str) -> str:
    """A link to another runbook; any other page is not served here, so its path in the repository is shown."""
    path, _, anchor = target.partition("#")
    if target.startswith("https://"):
        return f'<a href="{escape(target)}" rel="noreferrer">{_inline(words)}</a>'
    if "/" not in path and path.endswith(".md"):
        place = path.removesuffix(".md") + (f"#{anchor}" if anchor else "")
        return f'<a href="/runbooks/{escape(place)}">{_inline(words)}</a>'
    shown = path.replace("../../", "").replace("../", "docs/")
    return f"{_inline(words)} (<code>{escape(shown)}</code>)"
