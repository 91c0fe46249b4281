"""One function's source, read for what would not do the same again. It runs nothing of the user's and never raises.

Names are looked up where the function would find them (its own, its closure's, its module's), so that aliases are seen
through; what is bound to a value inside the function is unknown, but for imports and sets.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from longshore.engine.hazards import EXECUTOR, UNORDERED, Hazard, full_name, hazard
from longshore.routines.routine import Routine

MARK: Final = "longshore: deterministic"

_SET_MAKERS: Final = frozenset({"builtins.set", "builtins.frozenset"})
_SET_METHODS: Final = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SET_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
ORDER_BLIND: Final = frozenset(
    f"builtins.{name}" for name in ("sorted", "set", "frozenset", "len", "sum", "min", "max", "any", "all")
)
IN_ORDER: Final = frozenset(
    f"builtins.{name}" for name in ("list", "tuple", "iter", "enumerate", "map", "filter", "zip")
) | {"asyncio.as_completed"}
_MAKE_TASKS: Final = frozenset({"create_task", "ensure_future"})
"""A set of asyncio tasks has an order in a workflow."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_SET: Final = "a set"
"""What a local name is known to be."""


class Named(NamedTuple):
    """Something known by its full name only."""

    name: str


class Sources:
    """Files parsed once, for as long as this object lives."""

    def __init__(self) -> None:
        self._files: dict[str, dict[tuple[str, int], _Function]] = {}

    def find(self, function: FunctionType) -> tuple[_Function, list[str]] | None:
        """The definition of a function and the lines of its file; None if the source is not at hand."""
        code = function.__code__
        lines = linecache.getlines(code.co_filename, function.__globals__)
        if code.co_filename not in self._files:
            self._files[code.co_filename] = _definitions(lines)
        node = self._files[code.co_filename].get((code.co_name, code.co_firstlineno))
        return None if node is None else (node, lines)


def _definitions(lines: list[str]) -> dict[tuple[str, int], _Function]:
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    functions = [node for node in ast.walk(tree) if isinstance(node, _Function)]
    return {(node.name, min([node.lineno, *(one.lineno for one in node.decorator_list)])): node for node in functions}


class Reading(ast.NodeVisitor):
    """`places` are (line, what, why) in the order read; `named` is what the function names of its module's."""

    def __init__(self, function: FunctionType, sources: Sources, names: dict[int, str]) -> None:
        self.places: list[tuple[int, str, Hazard]] = []
        self.named: list[Any] = []
        self._function = function
        self._names = names
        self._scopes: list[dict[str, str]] = []
        self._blind: set[int] = set()  # comprehensions whose order goes nowhere
        self._makes_tasks = False
        self._lines: list[str] = []
        found = sources.find(function)
        if found is not None:
            node, self._lines = found
            if not self._marked(node.lineno, max(node.lineno, node.body[0].lineno - 1)):
                self._makes_tasks = any(_makes_task(one) for one in ast.walk(node))
                self._enter(node, node.body)

    # ----------------------------------------------------------------------------------------------------- what is said

    def _report(self, node: ast.expr, what: str, why: Hazard) -> None:
        if not self._marked(node.lineno, node.end_lineno or node.lineno):
            self.places.append((node.lineno, what, why))

    def _marked(self, first: int, last: int) -> bool:
        above = self._lines[first - 2].strip() if first > 1 else ""
        lines = [above if above.startswith("#") else "", *self._lines[first - 1 : last]]
        return any(MARK in line.partition("#")[2] for line in lines)

    def _unordered(self, node: ast.expr) -> None:
        if self._is_set(node):
            self._report(node, "a set", UNORDERED)

    # ------------------------------------------------------------------------------------------------ what is looked at

    def visit_Name(self, node: ast.Name) -> None:
        """A name by itself."""
        self._look(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """`a.b`, and `a` if that says nothing."""
        if not self._look(node):
            self.generic_visit(node)

    def _look(self, node: ast.Name | ast.Attribute) -> bool:
        value = self._value(node)
        self.named.append(value)
        name = self._name_of(value)
        why = hazard(name, called=False, arguments=False)
        if why is not None:
            self._report(node, _short(name), why)
        return why is not None

    def visit_Call(self, node: ast.Call) -> None:
        """A call: of what, and with sets where order counts."""
        name, method = self._name(node.func), _attribute(node.func)
        arguments = bool(node.args or node.keywords)
        why = hazard(name, called=True, arguments=arguments)
        if why is None and method == "run_in_executor":
            why, name = EXECUTOR, "loop.run_in_executor"
        if why is not None:
            self._report(node, f"{_short(name)}()", why)
        else:
            self.visit(node.func)
        if name in IN_ORDER or (method == "join" and len(node.args) == 1):
            for argument in node.args:
                self._unordered(argument)
        if method == "pop" and not arguments and isinstance(node.func, ast.Attribute):
            self._unordered(node.func.value)
        if name in ORDER_BLIND:
            self._blind.update(map(id, node.args))
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.visit(argument)

    def visit_Starred(self, node: ast.Starred) -> None:
        """`f(*names)`."""
        self._unordered(node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """A loop over a set."""
        self._unordered(node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        """A comprehension over a set, unless its order goes nowhere."""
        if id(node) not in self._blind or any(isinstance(one, ast.Await) for one in ast.walk(node)):
            for one in node.generators:
                self._unordered(one.iter)
        self.generic_visit(node)

    visit_GeneratorExp = visit_DictComp = visit_ListComp

    def visit_SetComp(self, node: ast.SetComp) -> None:
        """Its order goes nowhere, unless it calls something on the way."""
        if any(isinstance(one, ast.Await) for one in ast.walk(node)):
            for one in node.generators:
                self._unordered(one.iter)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: _Function) -> None:
        """A function inside the function."""
        for outside in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(outside)
        self._enter(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """The same, of one expression."""
        self._enter(node, [node.body])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the annotation."""
        if node.value is not None:
            self.visit(node.value)

    def _enter(self, node: _Function | ast.Lambda, body: list[Any]) -> None:
        scope = _bound(node)
        self._scopes.append(scope)
        for name, values in _assigned(body).items():
            if scope.get(name) == "" and len(values) == _times_bound(body, name) and all(map(self._is_set, values)):
                scope[name] = _SET
        for one in body:
            self.visit(one)
        self._scopes.pop()

    # --------------------------------------------------------------------------------------------------- what a name is

    def _name(self, node: ast.expr) -> str:
        return self._name_of(self._value(node))

    def _name_of(self, value: Any) -> str:
        return value.name if type(value) is Named else full_name(value, self._names)

    def _value(self, node: ast.expr) -> Any:
        """What the expression is, a Named or None."""
        match node:
            case ast.Name(id=name):
                return self._found(name)
            case ast.Attribute(value=of, attr=name):
                return self._attribute_of(self._value(of), name)
            case ast.Call(func=of) if self._name(of) == "pathlib.Path":
                return Named("pathlib.Path()")
        return None

    def _found(self, name: str) -> Any:
        for scope in reversed(self._scopes):
            if name in scope:
                return Named(scope[name]) if scope[name] not in ("", _SET) else None
        code, cells = self._function.__code__, self._function.__closure__ or ()
        closure = dict(zip(code.co_freevars, cells, strict=True))
        if name in closure:
            try:
                return closure[name].cell_contents
            except ValueError:  # empty
                return None
        return self._function.__globals__.get(name, vars(builtins).get(name))

    def _attribute_of(self, value: Any, name: str) -> Any:
        if value is None:
            return None
        if type(value) is Routine:
            return value.function if name == "function" else None
        if issubclass(type(value), ModuleType) and name in vars(value):
            return vars(value)[name]
        of = self._name_of(value)
        return Named(f"{of}.{name}") if of else None

    def _is_set(self, node: ast.expr) -> bool:
        """Whether it is a set whose order may be another elsewhere."""
        match node:
            case ast.Name(id=name):
                return next((scope[name] == _SET for scope in reversed(self._scopes) if name in scope), False)
            case ast.Set(elts=elements):
                return self._is_unordered(elements)
            case ast.SetComp(elt=element):
                return self._is_unordered([element])
            case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _SET_OPERATORS):
                return self._is_set(left) or self._is_set(right)
            case ast.Call(func=ast.Attribute(value=of, attr=method)) if method in _SET_METHODS:
                return self._is_set(of)
            case ast.Call(func=of, args=[]) if self._name(of) in _SET_MAKERS:
                return not self._makes_tasks
            case ast.Call(func=of, args=[argument]) if self._name(of) in _SET_MAKERS:
                return self._is_unordered(_elements(argument))
        return False

    def _is_unordered(self, elements: list[ast.expr]) -> bool:
        if all(isinstance(one, ast.Constant) and isinstance(one.value, int | float | complex) for one in elements):
            return False
        if any(isinstance(one, ast.JoinedStr) or _is_text(one) for one in elements):
            return True
        made = [self._name(one.func) for one in elements if isinstance(one, ast.Call)]
        return not self._makes_tasks and "builtins.range" not in made


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _elements(argument: ast.expr) -> list[ast.expr]:
    match argument:
        case ast.List(elts=elements) | ast.Tuple(elts=elements) if elements:
            return elements
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
            return [element]
    return [argument]


def _makes_task(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and (_attribute(node.func) or getattr(node.func, "id", "")) in _MAKE_TASKS


def _attribute(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _short(name: str) -> str:
    return name.removeprefix("builtins.").replace("datetime.datetime.", "datetime.").replace("datetime.date.", "date.")


def _own(body: list[Any]) -> Iterator[ast.AST]:
    """The nodes of a body without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _Inner):
            waiting += ast.iter_child_nodes(node)


def _bound(function: _Function | ast.Lambda) -> dict[str, str]:
    """The names bound in a function: the full name of what an import binds, "" for the rest."""
    body: list[Any] = [function.body] if isinstance(function, ast.Lambda) else function.body
    scope: dict[str, str] = {}
    foreign: set[str] = set()
    for node in _own(body):
        match node:
            case ast.Import(names=names):
                scope |= {alias.asname or alias.name.partition(".")[0]: _imported(alias) for alias in names}
            case ast.ImportFrom(module=module, names=names, level=0):
                scope |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case ast.Global(names=outside) | ast.Nonlocal(names=outside):
                foreign.update(outside)
            case ast.Name(id=name, ctx=ast.Store()):
                scope[name] = ""
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                scope[name] = ""
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                scope[name] = ""
    scope |= {one.arg: "" for one in ast.walk(function.args) if isinstance(one, ast.arg)}
    return {name: what for name, what in scope.items() if name not in foreign}


def _imported(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.partition(".")[0]


def _assigned(body: list[Any]) -> dict[str, list[ast.expr]]:
    """What each name is assigned in plain assignments."""
    found: dict[str, list[ast.expr]] = {}
    for node in _own(body):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                found.setdefault(name, []).append(value)
    return found


def _times_bound(body: list[Any], name: str) -> int:
    """How often a name is bound, but for `name |= ...`, which keeps what it is."""
    kept = {id(node.target) for node in _own(body) if isinstance(node, ast.AugAssign)}
    return sum(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) and id(node) not in kept
        for node in _own(body)
    )
