"""MkDocs hooks: the site is complete in itself, although the pages link to files outside of `docs/`.

Links are written as GitHub reads them, relative to the file. Here each linked file outside of `docs/` gets a page below
`repository/`: Markdown as a page, any other text as a code block, a folder as a list of its files. Links then lead
to these pages, and `mkdocs build --strict` finds broken ones.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PREFIX = "repository/"
PICTURES = {".webp", ".png", ".svg"}
SKIPPED = re.compile(r"^(\..*|node_modules|__pycache__|build|dist|.*\.egg-info)$")
MAX_BYTES = 200_000
_FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file outside of `docs/` that a page, or such a page, links to."""
    waiting = [DOCS / each.src_uri for each in files.documentation_pages()]
    known = set(waiting)
    while waiting:
        page = waiting.pop()
        for target in _targets(page):
            if target not in known and not _is_in_site(target):
                known.add(target)
                waiting.append(target)
                files.append(File.generated(config, _address(target), content=_content(target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead the page's links to the pages of the site."""
    source = _source(page.file.src_uri)
    if source is None:
        return markdown
    base = os.path.dirname(page.file.src_uri)  # noqa: PTH120 - an address within the site, no file

    def rewritten(link: re.Match[str]) -> str:
        target = _resolved(source, link[1])
        return os.path.relpath(_address(target), base or ".") if target.exists() else link[1]

    return _outside_of_fences(markdown, lambda text: _LINK.sub(rewritten, text))


def _source(address: str) -> Path | None:
    """The Markdown file of a page of the site; None for a page that shows another file."""
    if not address.startswith(PREFIX):
        return DOCS / address
    path = ROOT / address.removeprefix(PREFIX)
    return path if path.is_file() else None


def _targets(page: Path) -> set[Path]:
    if page.is_dir():
        return {each for each in page.rglob("*") if each.is_file() and not _is_skipped(each)}
    if page.suffix != ".md":
        return set()
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {target for link in _LINK.findall(text) if (target := _resolved(page, link)).exists()}


def _resolved(page: Path, link: str) -> Path:
    path = (page.parent / link).resolve()
    return path / "README.md" if (path / "README.md").is_file() else path


def _is_skipped(path: Path) -> bool:
    return any(map(SKIPPED.match, path.relative_to(ROOT).parts))


def _is_in_site(path: Path) -> bool:
    """Whether MkDocs itself takes this file from `docs/`."""
    return path.is_relative_to(DOCS) and path.suffix in {".md", *PICTURES}


def _address(path: Path) -> str:
    if _is_in_site(path):
        return path.relative_to(DOCS).as_posix()
    name = re.sub(r"/\.", "/_", PREFIX + path.relative_to(ROOT).as_posix())  # MkDocs leaves out hidden files
    return name if path.suffix == ".md" or path.suffix in PICTURES else f"{name}.md"


def _content(path: Path) -> str | bytes:
    """The source of the page of a file or folder outside of `docs/`."""
    if path.suffix in PICTURES:
        return path.read_bytes()
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    title = f"---\nsearch:\n  exclude: true\n---\n\n# {path.name}\n\n`{name}`\n\n"
    if path.is_dir():
        base = os.path.dirname(_address(path))  # noqa: PTH120 - as above
        lines = [
            f"- [`{each.relative_to(path)}`]({os.path.relpath(_address(each), base)})"
            for each in sorted(_targets(path))
        ]
        return title + "\n".join(lines)
    text = path.read_bytes()[:MAX_BYTES].decode(errors="replace")
    fence = "`" * (max(map(len, re.findall(r"`{3,}", text)), default=2) + 1)
    return f"{title}{fence}{path.suffix.removeprefix('.')}\n{text}\n{fence}\n"


def _outside_of_fences(markdown: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
