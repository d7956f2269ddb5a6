"""Mutants of Python source: comparisons, conditions, numbers, arithmetic, returns and deleted calls.

Not mutated: texts, log calls and metrics (other tests compare them with documents and alerts), annotations, table
definitions (the migrations create the tables), options of dataclasses (the type checker protects them), sizes of steps,
and code that only runs as a script.
"""

import ast
import copy
from collections.abc import Iterator

from tests.mutation.mutant import Mutant

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SKIPPED_CALLS = ("logger.", "metrics.", "log_", "_log(")
# `strict` of zip only guards against a bug; `transaction=False` of a pipeline only saves Redis two commands.
_SKIPPED_KEYWORDS = ("frozen", "slots", "metadata", "strict", "transaction")
# How much one step of a longer work does. One more or less of it changes no result.
_STEP_SIZES = (
    "PAGE_ROWS", "BATCH", "MAX_BATCHES", "MAX_SWEPT", "PROTOCOLS_PER_SWEEP", "PROTOCOLS_PER_COMPARISON",
    "ROOMS_PER_CALL", "MAX_CALLS", "KEYS_PER_STEP",
)  # fmt: skip


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every mutant of the file, in the order of its lines."""
    tree = ast.parse(source)
    found = []
    for number, node in enumerate(_nodes(tree)):
        for change in range(_changes(node)):
            mutated = copy.deepcopy(tree)
            target = _at(mutated, number)
            before = ast.unparse(target)
            after = _mutate(target, change)
            text = f"{_short(before)} -> {_short(after)}"
            found.append(Mutant(path, node.lineno, text, ast.unparse(ast.fix_missing_locations(mutated))))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.change))


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 70 else f"{line[:67]}..."


def _nodes(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The expressions and statements that are mutated."""
    for child in ast.iter_child_nodes(tree):
        if _is_skipped(child):
            continue
        if isinstance(child, ast.expr | ast.stmt):
            yield child
        yield from _nodes(child)


def _at(tree: ast.AST, number: int) -> ast.expr | ast.stmt:
    return next(node for place, node in enumerate(_nodes(tree)) if place == number)


def _is_skipped(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        names = [ast.unparse(each) for each in node.body if isinstance(each, ast.Assign)]
        return any(name.startswith("__tablename__") for name in names)
    if isinstance(node, ast.arg | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.keyword):
        return node.arg in _SKIPPED_KEYWORDS
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _STEP_SIZES:
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__"):
        return True
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(_SKIPPED_CALLS)


def _changes(node: ast.AST) -> int:  # noqa: PLR0911 - one case for each kind of node
    """How many mutants this node has."""
    match node:
        case ast.Compare(ops=ops):
            return len(ops)
        case ast.BoolOp() | ast.If() | ast.IfExp() | ast.While() | ast.Continue() | ast.Break():
            return 1
        case ast.UnaryOp(op=ast.Not()):
            return 1
        case ast.Constant(value=value):
            return int(isinstance(value, int | float))
        case ast.BinOp(op=op, left=left, right=right):
            texts = any(isinstance(each, ast.Constant | ast.JoinedStr) and _is_text(each) for each in (left, right))
            return int(type(op) in _ARITHMETIC and not texts)
        case ast.AugAssign(op=op):
            return int(type(op) in _ARITHMETIC)
        case ast.Return(value=value):
            is_none = value is None or (isinstance(value, ast.Constant) and value.value is None)
            return int(not is_none)
        case ast.Expr(value=ast.Call()):
            return 1
        case ast.Call(func=ast.Name(id=name)):
            return int(name in _CALLS)
    return 0


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str | bytes)


def _mutate(node: ast.AST, change: int) -> str:
    """Change the node in place; returns the new code."""
    match node:
        case ast.Compare(ops=ops):
            ops[change] = _COMPARISONS[type(ops[change])]()
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            node.test = ast.UnaryOp(ast.Not(), test)
            return f"not ({ast.unparse(test)})"
        case ast.UnaryOp():
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant(value=value):
            node.value = not value if isinstance(value, bool) else value + 1
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            node.op = _ARITHMETIC[type(op)]()
        case ast.Return():
            node.value = ast.Constant(None)
        case ast.Expr():
            node.value = ast.Constant(None)
            return "(deleted)"
        case ast.Call(func=ast.Name() as name):
            name.id = _CALLS[name.id]
        case ast.Continue() | ast.Break():
            node.__class__ = ast.Break if isinstance(node, ast.Continue) else ast.Continue
    return ast.unparse(node)
