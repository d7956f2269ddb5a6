"""The part of PromQL that the alert rules use, evaluated over two scrapes: `[5m]` is the time between them."""

import math
import re
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]
Vector = list[tuple[Labels, float]]
_SELECTOR = re.compile(r"(?P<name>\w+)(?:\{(?P<matchers>[^}]*)\})?(?P<range>\[\w+\])?$")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
_AGGREGATE = re.compile(r"(?P<how>sum|max|min)(?: by \((?P<by>[\w, ]+)\))? ?\((?P<inner>.*)\)$")
_COMPARE: dict[str, Callable[[float, float], bool]] = {">": lambda a, b: a > b, "<": lambda a, b: a < b}
_HOW: dict[str, Callable[[Any], float]] = {"sum": sum, "max": max, "min": min}


class Scrapes:
    """The responses of `/metrics` before and after an action; a new counter starts at 0."""

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = _samples(before), _samples(after)

    def fires(self, expression: str) -> bool:
        return bool(self.value(expression))

    def value(self, expression: str) -> Vector:
        """The instant vector of an expression. Raises ValueError if it is not supported."""
        text = expression.strip()
        if compared := _split(text, " > ", " < "):
            left, sign, right = compared
            return [(labels, v) for labels, v in self.value(left) if _COMPARE[sign.strip()](v, float(right))]
        if divided := _split(text, " / "):
            above, below = self.value(divided[0]), self.value(divided[2])
            return [({}, above[0][1] / below[0][1])] if above and below and below[0][1] else []
        return self._call(text)

    def _call(self, text: str) -> Vector:
        if match := re.fullmatch(r"absent\((.*)\)", text):
            return [] if self.value(match[1]) else [({}, 1.0)]
        if match := re.fullmatch(r"histogram_quantile\(([\d.]+), (.*)\)", text):
            return _quantile(float(match[1]), self.value(match[2]))
        if match := re.fullmatch(r"(?:rate|increase)\((.*)\)", text):
            return self._increase(match[1])
        if match := _AGGREGATE.fullmatch(text):
            by = [name.strip() for name in (match["by"] or "").split(",") if name.strip()]
            return _aggregate(_HOW[match["how"]], by, self.value(match["inner"]))
        return _select(text, self.after)

    def _increase(self, selector: str) -> Vector:
        before = {tuple(sorted(labels.items())): value for labels, value in _select(selector, self.before)}
        after = _select(selector, self.after)
        return [(labels, value - before.get(tuple(sorted(labels.items())), 0.0)) for labels, value in after]


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bdashboard_\w+", expression))


def _samples(text: str) -> list[tuple[str, Labels, float]]:
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def _split(text: str, *signs: str) -> tuple[str, str, str] | None:
    """Split at the last sign outside of all brackets."""
    depth, found = 0, None
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        for sign in signs:
            if depth == 0 and text.startswith(sign, at):
                found = (text[:at], sign, text[at + len(sign) :])
    return found


def _select(text: str, samples: list[tuple[str, Labels, float]]) -> Vector:
    match = _SELECTOR.fullmatch(text)
    if match is None:
        raise ValueError(f"not supported: {text}")
    matchers = [
        (label, value if sign == "=~" else re.escape(value))
        for label, sign, value in _MATCHER.findall(match["matchers"] or "")
    ]

    def fits(labels: Labels) -> bool:
        return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in matchers)

    return [(labels, value) for name, labels, value in samples if name == match["name"] and fits(labels)]


def _aggregate(how: Callable[[Any], float], by: list[str], vector: Vector) -> Vector:
    groups: dict[tuple[str, ...], list[float]] = {}
    for labels, value in vector:
        groups.setdefault(tuple(labels.get(name, "") for name in by), []).append(value)
    return [(dict(zip(by, group, strict=True)), how(values)) for group, values in groups.items()]


def _quantile(share: float, buckets: Vector) -> Vector:
    """The upper bound of the quantile's bucket."""
    counts = sorted((float(labels["le"]), value) for labels, value in buckets)
    if not counts or not counts[-1][1]:
        return []
    bounds = [bound for bound, count in counts if count >= share * counts[-1][1]]
    highest = counts[-2][0] if len(counts) > 1 else math.inf
    return [({}, min(bounds[0], highest))]
