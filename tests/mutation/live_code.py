"""Puts a mutant into the running process: exchanges the code of functions, or the value of a constant."""

import ast
import functools
import gc
import inspect
import sys
from collections import defaultdict
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from tests.mutation.mutant import Mutant

Place = tuple[str, int]
"""A function's qualified name, and its number among those of the file that share the name."""
Functions = dict[Place, list[FunctionType]]
Codes = list[tuple[FunctionType, CodeType]]
"""Functions and their new code."""


def functions_of(path: str) -> Functions:
    """The functions of a file that exist now, also those that decorators have made."""
    codes = _codes(Path(path).read_text(encoding="utf-8"), path)
    places = {(code.co_qualname, code.co_firstlineno): place for place, code in codes.items()}
    name, found = str(Path(path).resolve()), defaultdict(list)
    gc.unfreeze()  # tests/conftest.py has exempted the modules, and thereby hidden them
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename == name:
            found[places[each.__code__.co_qualname, each.__code__.co_firstlineno]].append(each)
    return found


def changed_codes(mutant: Mutant, functions: Functions) -> Codes:
    """The functions to change and their new code; none if the mutant changes code that runs at import."""
    original = ast.unparse(ast.parse(Path(mutant.path).read_text(encoding="utf-8")))
    before, after = (_codes(each, mutant.path) for each in (original, mutant.source))
    differing = {place for place, code in after.items() if code != before[place]}
    changed = {place for place in differing if _own_part(after[place]) != _own_part(before[place])}
    existing = {place for place in differing if functions.get(place)}
    is_at_import = any(not _is_inside(place, existing) for place in changed)
    return [] if is_at_import else [(each, after[place]) for place in existing for each in functions[place]]


def set_codes(codes: Codes) -> None:
    """Exchange the codes, and forget what the functions have returned before."""
    for function, code in codes:
        function.__code__ = code
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper) and inspect.unwrap(each).__module__.startswith("app."):
            each.cache_clear()


def changed_constant(mutant: Mutant, source: str) -> tuple[str, Any, Any] | None:
    """Name, value and new value of a number that the mutant changes and that nothing uses at import."""
    for before, after in zip(ast.parse(source).body, ast.parse(mutant.source).body, strict=True):
        if ast.dump(before) != ast.dump(after):
            break
    else:
        return None
    match before, after:
        case ast.Assign(targets=[ast.Name(id=name)], value=old), ast.Assign(value=new):
            is_number = all(isinstance(each, ast.Constant | ast.BinOp | ast.operator) for each in ast.walk(old))
            if is_number and name not in _names_at_import():
                return name, *(eval(ast.unparse(each)) for each in (old, new))  # noqa: S307 - numbers of our own code
    return None


def set_constant(name: str, value: Any, new: Any) -> None:
    for module in list(sys.modules.values()):
        if module.__name__.split(".")[0] in ("app", "tasks", "tests") and vars(module).get(name, object()) == value:
            setattr(module, name, new)


@functools.cache
def _names_at_import() -> frozenset[str]:
    """The names that code outside of functions reads."""
    names: set[str] = set()
    for path in [path for folder in ("app", "tasks", "tests") for path in Path(folder).rglob("*.py")]:
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                waiting += [*getattr(node, "decorator_list", ()), node.args]
            else:
                waiting += ast.iter_child_nodes(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return frozenset(names)


def _codes(source: str, path: str) -> dict[Place, CodeType]:
    """All code of a file; the module itself has the name `<module>`."""
    by_name: dict[str, list[CodeType]] = defaultdict(list)
    waiting = [compile(source, path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        by_name[code.co_qualname].append(code)
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    in_order = {name: sorted(codes, key=lambda code: code.co_firstlineno) for name, codes in by_name.items()}
    return {(name, number): code for name, codes in in_order.items() for number, code in enumerate(codes)}


def _own_part(code: CodeType) -> tuple[object, ...]:
    """What the code does itself, without the functions and classes in it."""
    constants = [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _is_inside(place: Place, existing: set[Place]) -> bool:
    """Whether the code belongs to a function that exists, or to one that such a function makes."""
    return any(place[0] == name or place[0].startswith(f"{name}.<locals>.") for name, _ in existing)
