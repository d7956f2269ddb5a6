"""The reference pages that are read from the source: metrics and log events (`make docs`)."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.support.project_files import ROOT, project_files

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_METRIC_TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "Reading": "gauge"}
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
_WHOLE_OBJECT = "…"


def table(header: str, rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; `header` has the columns' names with `|` between them."""
    lines = [f"| {header} |", "|" + "---|" * len(header.split("|"))]
    cells = [[re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)]) + "\n"


@cache
def sources() -> dict[str, ast.Module]:
    """The modules of the server, by path."""
    paths = [*project_files(ROOT / "app", "*.py"), *project_files(ROOT / "tasks", "*.py"), ROOT / "celery_worker.py"]
    named = {path.relative_to(ROOT).as_posix(): path for path in paths}
    return {
        name: ast.parse(path.read_text(encoding="utf-8")) for name, path in named.items() if "migrations" not in name
    }


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _assigned(scope: ast.AST, name: str) -> ast.expr | None:
    """What the scope assigns to this name."""
    for each in ast.walk(scope):
        targets = (
            each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        )
        if any(getattr(target, "id", "") == name for target in targets):
            return each.value
    return None


# Metrics


@dataclass(frozen=True)
class MetricRow:
    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


def metrics() -> list[MetricRow]:
    """The metrics of /metrics that this system defines, by name."""
    found = [
        _metric(call, tree)
        for tree in sources().values()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _name(call) in _METRIC_TYPES and (_text(next(iter(call.args), None)) or "")
    ]
    return sorted(found, key=lambda each: each.name)


def _metric(call: ast.Call, tree: ast.Module) -> MetricRow:
    kind, about = _METRIC_TYPES[_name(call)], call.args[1]
    text = _text(about) or _text(_assigned(tree, getattr(about, "id", ""))) or ""
    if _name(call) == "Reading":
        labels = [
            _text(each) for each in [*call.args[3:4], *(key.value for key in call.keywords if key.arg == "label")]
        ]
    else:
        lists = [each for each in call.args[2:3] if isinstance(each, ast.List)]
        labels = [_text(each) for each in (lists[0].elts if lists else ())]
    return MetricRow(_text(call.args[0]) or "", kind, tuple(filter(None, labels)), text)


def metrics_page() -> str:
    alerts = _alerts()
    rows = []
    for each in metrics():
        watched = [
            f"[{alert}](../runbooks/{alert}.md)" for alert, expression in alerts if _is_in(each.name, expression)
        ]
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append((f"`{each.name}`", each.kind, labels, each.about, ", ".join(watched)))
    return _METRICS_INTRODUCTION + table("metric | type | labels | meaning | alerts", rows)


def _alerts() -> list[tuple[str, str]]:
    text = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    return re.findall(r"alert: (\w+)\s+expr: (.+)", text)


def _is_in(metric: str, expression: str) -> bool:
    return re.search(rf"\b{metric}(_bucket)?\b", expression) is not None


# Log events


@dataclass
class LogRow:
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)


def log_events() -> dict[str, LogRow]:
    """Level, fields and source of each log event, by name."""
    rows: dict[str, LogRow] = defaultdict(LogRow)
    for source, tree in sources().items():
        for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)):
            for call in _log_calls(function):
                for name, levels, fields in _logged(call, function, tree):
                    rows[name].levels |= levels
                    rows[name].fields |= fields
                    rows[name].sources.add(source)
    return dict(sorted(rows.items()))


def _log_calls(function: ast.AST) -> Iterator[ast.Call]:
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr.upper() in {*LEVELS, "LOG", "EXCEPTION"} and "logger" in ast.unparse(call.func.value):
            yield call


def _logged(call: ast.Call, function: ast.AST, tree: ast.Module) -> list[tuple[str, set[str], set[str]]]:
    """Name, levels and fields of what the call logs; several, if the name is a parameter of its function."""
    method, arguments = _name(call), [*call.args]
    levels = {method.upper().replace("EXCEPTION", "ERROR")}
    if method == "log":
        levels = _levels(arguments.pop(0), function)
    extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
    fields = _fields(extra, function)
    if name := _text(arguments[0]):
        return [(name, levels, fields)] if _EVENT.fullmatch(name) else []
    return _logged_by_callers(function, tree, fields) if isinstance(arguments[0], ast.Name) else []


def _levels(level: ast.AST, function: ast.AST) -> set[str]:
    if isinstance(level, ast.Name):
        level = _assigned(function, level.id) or level
    return {name for name in LEVELS if re.search(rf"\b{name}\b", ast.unparse(level))}


def _fields(extra: ast.expr | None, function: ast.AST) -> set[str]:
    if isinstance(extra, ast.Name):
        extra = _assigned(function, extra.id) or extra
    if isinstance(extra, ast.BinOp):
        return _fields(extra.left, function) | _fields(extra.right, function)
    if not isinstance(extra, ast.Dict):
        return {_WHOLE_OBJECT} if extra is not None else set()
    found: set[str] = set()
    for key, value in zip(extra.keys, extra.values, strict=True):
        found |= {_text(key) or _WHOLE_OBJECT} if key is not None else _fields(value, function)
    return found


def _logged_by_callers(function: ast.AST, tree: ast.Module, fields: set[str]) -> list[tuple[str, set[str], set[str]]]:
    """What a function `_log(event, id, level=…, **details)` logs for its callers in the module."""
    found = []
    default = _levels(function, function)
    for scope in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        for call in (each for each in ast.walk(scope) if isinstance(each, ast.Call)):
            name = _text(next(iter(call.args), None))
            if _name(call) == getattr(function, "name", "") and name and _EVENT.fullmatch(name):
                named = {each.arg for each in call.keywords if each.arg}
                spread = [_fields(each.value, scope) for each in call.keywords if each.arg is None]
                given = set().union(*(_levels(each, scope) for each in call.args[1:]))
                found.append((name, given or default, (fields - {_WHOLE_OBJECT}) | named | set().union(*spread)))
    return found


def logs_page() -> str:
    rows = []
    for name, row in log_events().items():
        levels = " or ".join(level for level in LEVELS if level in row.levels)
        fields = [f"`{each}`" for each in sorted(row.fields - {_WHOLE_OBJECT})] + sorted(row.fields & {_WHOLE_OBJECT})
        rows.append((f"`{name}`", levels, ", ".join(fields), ", ".join(f"`{each}`" for each in sorted(row.sources))))
    return _LOGS_INTRODUCTION + table("event | level | fields | logged by", rows)


_METRICS_INTRODUCTION = """\
# Metrics

Read from the source by `make docs`: do not edit. `GET /metrics` has them in Prometheus's format, besides those of
Python and the process. Values of labels come from closed sets. A gauge of a queue, a room, a payment or a webhook
describes the whole system and is the same in every web process: aggregate it with `max`, counters with `sum`. Counters
end in `_total`; a histogram has `_bucket`, `_sum` and `_count`.

"""
_LOGS_INTRODUCTION = """\
# Log events

Read from the source by `make docs`: do not edit. Each line is an event named `noun.verb_past` with its values as
fields. In containers it is one JSON object (`DASHBOARD_LOG_FORMAT=json`). Besides these fields a line has time, level,
logger and, where there is a request or a task, its `requestId`; with OpenTelemetry also `traceId`. `…` stands for
fields that depend on the case, such as all members of an event. Input of callers without a token is logged at DEBUG
only.

"""
