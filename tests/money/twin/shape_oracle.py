"""Compares JSON with the type annotations of the installed `stripe` library, which Stripe generates.

Reads the library's sources with `ast` (many names exist for type checkers only) and shares no code with the
twin. An open enumeration (`Literal[...] | str`) counts as closed here: what the twin emits must be a
documented value.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stripe._object_classes import OBJECT_CLASSES

_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_SCALARS: dict[str, type] = {"str": str, "int": int, "bool": bool, "float": float}


@dataclass(frozen=True)
class Module:
    """One parsed module of the library: its classes and the names that it imports."""

    classes: dict[str, ast.ClassDef]
    imports: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Scope:
    """Where a name is looked up: the classes around it, innermost first, then the module."""

    module: Module
    classes: tuple[ast.ClassDef, ...]

    def find(self, name: str) -> tuple[ast.ClassDef, Scope] | None:
        """Return the class of a name and the scope of its body."""
        for depth, around in enumerate(self.classes):
            for node in around.body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return node, Scope(self.module, (node, *self.classes[depth:]))
        if name in self.module.classes:
            node = self.module.classes[name]
            return node, Scope(self.module, (node,))
        if name in self.module.imports:
            other, original = self.module.imports[name]
            return Scope(parse(other), ()).find(original)
        return None


@functools.cache
def parse(name: str) -> Module:
    """Parse a module of the library."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, name  # noqa: PT018
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imports = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return Module({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, imports)


def violations(value: Any) -> list[str]:
    """Return what is wrong with an object: missing, unknown, of the wrong type, of no documented value."""
    kind = value.get("object") if isinstance(value, dict) else None
    if kind == "list":
        return [problem for item in value["data"] for problem in violations(item)]
    if kind not in OBJECT_CLASSES:
        return [f"{kind!r} is no object of the API"]
    module, name = OBJECT_CLASSES[kind]
    found = Scope(parse(module), ()).find(name)
    assert found is not None, name
    problems = _class(value, found[0], found[1], kind)
    if kind == "event":
        problems += violations(value["data"]["object"])
        problems += _previous(value["data"])
    return problems


def _previous(data: dict[str, Any]) -> list[str]:
    unknown = set(data.get("previous_attributes", {})) - set(data["object"])
    return [f"event: previous_attributes names {sorted(unknown)}"] if unknown else []


def fields(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Return the annotated fields of a class, without what belongs to the library itself."""
    return {
        item.target.id: item.annotation
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and "ClassVar" not in ast.unparse(item.annotation)
        and not item.target.id.startswith("_")
    }


def _class(value: Any, node: ast.ClassDef, scope: Scope, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no {node.name}"]
    known = fields(node)
    if value.get("deleted") is True and "deleted" in known:
        extra = set(value) - {"id", "object", "deleted"}
        return [f"{path}: a deleted object shows {sorted(extra)}"] if extra else []
    problems = [f"{path}.{name}: unknown field" for name in value if name not in known]
    for name, annotation in known.items():
        if name in value:
            problems += check(value[name], annotation, scope, f"{path}.{name}")
        elif not _is_optional(annotation):
            problems.append(f"{path}.{name}: missing")
    return problems


def _parsed(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def _is_optional(annotation: ast.expr) -> bool:
    node = _parsed(annotation)
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Optional"


def _arguments(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def check(value: Any, annotation: ast.expr, scope: Scope, path: str) -> list[str]:
    """Return what is wrong with a value, given the annotation of its field."""
    node = _parsed(annotation)
    if isinstance(node, ast.BinOp):
        return _union(value, [node.left, node.right], scope, path)
    if isinstance(node, ast.Subscript):
        return _generic(value, ast.unparse(node.value), _arguments(node), scope, path)
    return _name(value, ast.unparse(node), scope, path)


def _generic(value: Any, name: str, arguments: list[ast.expr], scope: Scope, path: str) -> list[str]:
    if name == "Optional":
        return [] if value is None else check(value, arguments[0], scope, path)
    if name == "Union":
        return _union(value, arguments, scope, path)
    if name == "ExpandableField":
        return [] if isinstance(value, str) and value else check(value, arguments[0], scope, path)
    if name == "Literal":
        allowed = [ast.literal_eval(argument) for argument in arguments]
        return [] if value in allowed else [f"{path}: {value!r} is not one of {allowed[:8]}"]
    if name == "List":
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [p for i, item in enumerate(value) for p in check(item, arguments[0], scope, f"{path}[{i}]")]
    if name in ("Dict", "UntypedStripeObject"):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        return [p for key, item in value.items() for p in check(item, arguments[-1], scope, f"{path}.{key}")]
    assert name == "ListObject", name
    return _list_object(value, arguments[0], scope, path)


def _list_object(value: Any, inner: ast.expr, scope: Scope, path: str) -> list[str]:
    if not isinstance(value, dict) or set(value) != {"object", "data", "has_more", "url"}:
        return [f"{path}: {value!r} is no list object"]
    return [p for i, item in enumerate(value["data"]) for p in check(item, inner, scope, f"{path}.data[{i}]")]


def _union(value: Any, options: list[ast.expr], scope: Scope, path: str) -> list[str]:
    literals = [option for option in options if ast.unparse(_parsed(option)).startswith("Literal[")]
    if literals and isinstance(value, str):
        return min((check(value, option, scope, path) for option in literals), key=len)
    return min((check(value, option, scope, path) for option in options), key=len)


def _name(value: Any, name: str, scope: Scope, path: str) -> list[str]:
    if name == "Any":
        return []
    if name == "None":
        return [] if value is None else [f"{path}: {value!r} is not null"]
    if name == "Decimal":
        exact = isinstance(value, str) and _DECIMAL.fullmatch(value) is not None
        return [] if exact else [f"{path}: {value!r} is no decimal string"]
    if name in _SCALARS:
        fits = isinstance(value, _SCALARS[name]) and not (name == "int" and isinstance(value, bool))
        return [] if fits else [f"{path}: {value!r} is no {name}"]
    found = scope.find(name)
    assert found is not None, f"{path}: no class {name}"
    return _class(value, found[0], found[1], path)
