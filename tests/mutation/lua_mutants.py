"""Mutants of Lua source, made by token: comparisons, conditions, numbers, arithmetic, options and calls."""

import re
from collections.abc import Iterator

from tests.mutation.mutant import Mutant

_SWAPPED = {
    "<=": "<", ">=": ">", "==": "~=", "~=": "==", "<": "<=", ">": ">=", "and": "or", "or": "and", "not ": "",
    "math.max": "math.min", "math.min": "math.max", "'LPOP'": "'RPOP'", "'RPUSH'": "'LPUSH'", "'LPUSH'": "'RPUSH'",
    "'NX', ": "", "'LT', ": "", " + ": " - ", " - ": " + ", " * ": " + ",
}  # fmt: skip
_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*)
    | (?P<swap>\b(?:and|or|math\.max|math\.min)\b|\bnot\ |[<>=~]=|[<>]|'(?:LPOP|RPUSH|LPUSH)'|'(?:NX|LT)',\ |\ [-+*]\ )
    | (?P<text>'(?:\\.|[^'\\])*')
    | (?P<number>(?<![\w.])\d+(?![\w.]))
    """,
    re.VERBOSE,
)
_CONDITION = re.compile(r"\b(if|elseif|while) (.+?) (then|do)\b")
_CALL = re.compile(r"^(?P<indent>\s*)(?P<call>redis\.call\(.*\)|[a-z_]+\([^\n]*\))$")
_FIND_FROM_START = re.compile(r"1, true\)")  # of a text that begins with '{': its second character is as good
_BIG = 1000


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every mutant of the file, in the order of its lines."""
    found, start = [], 0
    for number, line in enumerate(source.splitlines(keepends=True), start=1):
        for begin, end, text in _changes(line):
            changed = line[:begin] + text + line[end:]
            change = f"{line.strip()[:110]}: `{line[begin:end].strip()[:60]}` -> `{text.strip()[:60]}`"
            found.append(Mutant(path, number, change, source[:start] + changed + source[start + len(line) :]))
        start += len(line)
    return found


def _changes(line: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, new text) of each change to one line."""
    code = line.split("--", maxsplit=1)[0]
    for token in _TOKEN.finditer(line):
        if token["comment"]:
            break
        if token["swap"]:
            yield token.start(), token.end(), _SWAPPED[token["swap"]]
        elif token["number"] and not _FIND_FROM_START.match(line, token.start()):
            yield from ((token.start(), token.end(), str(each)) for each in _other_numbers(int(token["number"])))
    for condition in _CONDITION.finditer(code):
        yield condition.start(2), condition.end(2), f"not ({condition[2]})"
    call = _CALL.match(code.rstrip())
    if call:
        yield call.start("call"), call.end("call"), ""


def _other_numbers(value: int) -> tuple[int, ...]:
    return (value * 2, value // 2) if value >= _BIG else (value + 1,)
