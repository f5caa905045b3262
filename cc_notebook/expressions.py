"""The conditions `when` and `until`, read by a safe evaluator: `a.b` looks up a key, and nothing can be called."""

import ast
import json
import operator
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from simpleeval import SimpleEval

from cc_notebook.errors import did_you_mean

MAX_LENGTH = 2000  # characters of an expression
MAX_DEPTH = 50  # of parts within parts
MAX_POWER = 300
MAX_NUMBER = 10**100  # larger ones would take the engine's time
ALLOWED = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp)
ALLOWED_TOO = (ast.IfExp, ast.List, ast.Tuple)


class ExpressionError(ValueError):
    """An expression cannot be read or has no value; the text names the column (from 1)."""

    def __init__(self, node: ast.AST | None, message: str) -> None:
        super().__init__(f"{message} (column {getattr(node, 'col_offset', 0) + 1})")


def _numbers(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation for numbers alone, and of a size that takes no time; a text times a number could fill the memory."""

    def limited(a: Any, b: Any) -> Any:
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)) or max(abs(a), abs(b)) > MAX_NUMBER:
            raise TypeError("this is possible with numbers only, of up to 100 digits")
        return compute(a, b)

    return limited


def _power(a: float, b: float) -> Any:
    if abs(b) > MAX_POWER:
        raise ValueError(f"a power of more than {MAX_POWER} is not computed")
    return a**b


class _Evaluator(SimpleEval):
    """simpleeval without calls; attributes are keys. What a key leads to is data from JSON, never an object of ours."""

    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__(functions={}, names=values)
        limited = {ast.Mult: _numbers(operator.mul), ast.Mod: _numbers(operator.mod), ast.Pow: _numbers(_power)}
        self.operators: dict[Any, Any] = {**vars(self)["operators"], **limited}
        look_ups = {ast.Attribute: self._attribute, ast.Subscript: self._subscript, ast.Name: self._name}
        lists = {ast.List: self._list, ast.Tuple: self._list}
        own: dict[Any, Any] = vars(self)["nodes"]
        self.nodes: dict[Any, Any] = {kind: own.get(kind) for kind in (*ALLOWED, *ALLOWED_TOO)} | look_ups | lists

    def _eval(self, node: Any) -> Any:
        try:
            return super()._eval(node)
        except ExpressionError:
            raise
        except Exception as error:  # whatever two values make of an operator
            raise ExpressionError(node, str(error) or type(error).__name__) from None

    def _name(self, node: ast.Name) -> Any:
        if node.id not in self.names:
            raise ExpressionError(node, f"'{node.id}' is not known; {did_you_mean(node.id, self.names)}".rstrip("; "))
        return self.names[node.id]

    def _attribute(self, node: ast.Attribute) -> Any:
        return self._key(node, self._eval(node.value), node.attr)

    def _subscript(self, node: ast.Subscript) -> Any:
        return self._key(node, self._eval(node.value), self._eval(node.slice))

    def _list(self, node: ast.List) -> list[Any]:
        return [self._eval(item) for item in node.elts]

    def _key(self, node: Any, value: Any, key: Any) -> Any:
        whole = ast.unparse(node.value)
        if isinstance(value, Mapping):
            if key not in value:
                raise ExpressionError(node, f"'{whole}' has no '{key}' (it has {', '.join(map(str, value)) or 'none'})")
            return value[key]
        if isinstance(value, (list, str)) and isinstance(key, int) and -len(value) <= key < len(value):
            return value[key]
        raise ExpressionError(node, f"'{whole}' is {value!r}, which has no '{key}'")


@lru_cache(maxsize=1000)  # each member of a loop asks again
def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(None, f"the expression has more than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(None, f"{error.msg}, near '{text[: error.offset or 0][-10:]}'") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(None, "this is no expression") from None
    level, depth = list[ast.AST]([tree]), 0
    while level := [child for node in level for child in ast.iter_child_nodes(node)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ExpressionError(None, f"the expression is nested more than {MAX_DEPTH} deep")
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and not isinstance(node, (*ALLOWED, *ALLOWED_TOO)):
            raise ExpressionError(
                node, f"'{ast.unparse(node)[:40]}' is not possible here: compare, combine and look up"
            )
    return tree


def check(text: str, known: Collection[str]) -> str:
    """What is wrong with an expression that may use the names `known`; empty if nothing is seen to be."""
    try:
        tree = _parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in known:
                odd = next((name for name in sorted(known) if name.startswith(node.id) and not name.isidentifier()), "")
                hint = f"write jobs['{odd}']" if odd else did_you_mean(node.id, known)
                raise ExpressionError(node, f"'{node.id}' is not known" + (f"; {hint}" if hint else ""))
    except ExpressionError as error:
        return str(error)
    return ""


def names(text: str) -> set[str]:
    """The names that an expression begins its look-ups with, also by `jobs['name']`; none if it cannot be read."""
    try:
        nodes = list(ast.walk(_parse(text)))
    except ExpressionError:
        return set()
    found = {node.id for node in nodes if isinstance(node, ast.Name)}
    keys = [node.slice for node in nodes if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "jobs"]
    return found | {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def evaluate(text: str, values: Mapping[str, object]) -> tuple[object, str]:
    """The value of an expression, and what it was made of: `fetch.rows = 7, limit = 3`. Raises ExpressionError."""
    tree, evaluator = _parse(text), _Evaluator(values)
    value = evaluator._eval(tree)
    inner = {
        part for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Subscript)) for part in [node.value]
    }
    used = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and node not in inner
    ]
    told = {ast.unparse(node): _short(evaluator, node) for node in used[:5]}
    return value, ", ".join(f"{name} = {text}" for name, text in told.items())


def _short(evaluator: _Evaluator, node: ast.expr) -> str:
    try:
        return json.dumps(evaluator._eval(node), default=str)[:60]
    except ValueError:  # the part of an `or` that was not needed, or a number of too many digits
        return "?"
