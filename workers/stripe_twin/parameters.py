"""Checks a call's parameters against the parameter types of the installed `stripe` library.

The library itself sends whatever it is given; Stripe refuses what the API version does not know. The types in
`stripe.params` are generated from Stripe's own description of the API, so they are the reference here.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from stripe._request_options import RequestOptions
from typing_extensions import TypedDict, get_type_hints, is_typeddict

from stripe_twin.errors import invalid, missing_parameter, unknown_parameter
from stripe_twin.forms import FormValue

Parameters = dict[str, Any]

_INTEGER = re.compile(r"-?\d{1,18}")
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,12})?")
_OPTIONS = frozenset(RequestOptions.__annotations__)
_METADATA_KEYS = 50
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500


@functools.cache
def parameter_type(path: str) -> type:
    """Return the TypedDict of a call.

    Args:
        path: Module and class below `stripe.params`, such as `_customer_create_params.CustomerCreateParams`.
    """
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(f"stripe.params.{module}"), name)
    assert is_typeddict(found), path
    return found  # type: ignore[no-any-return]


@functools.cache
def _hints(kind: type) -> dict[str, tuple[Any, bool]]:
    """Return name -> (type, required) of a TypedDict, without the library's own request options (headers)."""
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
    annotations = kind.__annotations__
    left_out = _OPTIONS if annotations.keys() >= _OPTIONS else frozenset()
    kept = {name: hint for name, hint in annotations.items() if name not in left_out}
    resolvable = type(kind.__name__, (), {"__annotations__": kept, "__module__": kind.__module__})
    hints = get_type_hints(resolvable, include_extras=True)
    return {name: (_bare(hint), name in required) for name, hint in hints.items()}


def _bare(hint: Any) -> Any:
    while get_origin(hint) in (NotRequired, Required):
        hint = get_args(hint)[0]
    return hint


def check(values: dict[str, FormValue], kind: type | None, *, strict: bool = True) -> Parameters:
    """Check and convert the parameters of one call.

    Args:
        values: What the request carried, see `stripe_twin.forms.decode`.
        kind: TypedDict of the call; None for a call without parameters (only `expand` is allowed).
        strict: Refuse unknown parameters. Calls without a `Stripe-Version` header, such as the official
            command
            line's, may still send parameters of older versions: those are dropped.

    Returns:
        The same parameters with integers, booleans, lists and dictionaries in place; an empty string stays
        one and means "unset".

    Raises:
        StripeError: 400, naming the parameter, as Stripe does.
    """
    if kind is None:
        kind = _OnlyExpand
    return _check_fields(values, kind, "", strict)


class _OnlyExpand(TypedDict):
    """Parameters of a call that takes none."""

    expand: NotRequired[list[str]]


def _check_fields(values: dict[str, FormValue], kind: type, prefix: str, strict: bool) -> Parameters:
    hints = _hints(kind)
    checked: Parameters = {}
    for name, value in values.items():
        param = f"{prefix}[{name}]" if prefix else name
        if name not in hints:
            if strict:
                raise unknown_parameter(param)
            continue
        checked[name] = _convert(value, hints[name][0], param, strict)
    for name, (_, required) in hints.items():
        if required and name not in checked:
            raise missing_parameter(f"{prefix}[{name}]" if prefix else name)
    return checked


def _options(hint: Any) -> list[Any]:
    """Flatten a union; a stand-in type that exists for type checkers only is left out."""
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        return [option for part in get_args(hint) for option in _options(part)]
    if getattr(get_origin(hint), "__name__", "") == "UntypedStripeObject":
        return []
    return [hint]


def _convert(value: FormValue, hint: Any, param: str, strict: bool) -> Any:
    options = _options(hint)
    literals = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    others = [option for option in options if get_origin(option) is not Literal and option is not type(None)]
    if isinstance(value, str) and value in literals:
        return value
    if isinstance(value, dict):
        return _convert_group(value, others, param, strict)
    if isinstance(value, list):
        return _convert_list(value, others, param, strict)
    words = [word for word in literals if word]
    if words and all(option is str for option in others):
        raise invalid(f"Invalid {param}: must be one of {', '.join(words[:-1])}, or {words[-1]}", param=param)
    return _convert_text(value, others, param)


def _convert_group(value: dict[str, FormValue], options: list[Any], param: str, strict: bool) -> Any:
    for option in options:
        if is_typeddict(option):
            return _check_fields(value, option, param, strict)
        if get_origin(option) is dict:
            inner = get_args(option)[1]
            checked = {
                name: _convert(item, inner, f"{param}[{name}]", strict) for name, item in value.items()
            }
            if inner is str:
                _check_metadata(checked, param)
            return checked
    raise invalid(f"Invalid {_wanted(options)}: {value}", param=param)


def _convert_list(value: list[FormValue], options: list[Any], param: str, strict: bool) -> Any:
    for option in options:
        if get_origin(option) is list:
            inner = get_args(option)[0]
            return [_convert(item, inner, f"{param}[{index}]", strict) for index, item in enumerate(value)]
        if get_origin(option) is dict or is_typeddict(option):
            return _convert_group(
                {str(index): item for index, item in enumerate(value)}, [option], param, strict
            )
    raise invalid(f"Invalid {_wanted(options)}: {value}", param=param)


def _convert_text(value: str, options: list[Any], param: str) -> Any:
    for option in options:
        name = getattr(option, "__name__", "")
        if option is bool and value in ("true", "false"):
            return value == "true"
        if option is int and _INTEGER.fullmatch(value):
            return int(value)
        if name in ("Decimal", "float") and _DECIMAL.fullmatch(value):
            return value  # kept as text: money and measures never become binary fractions
        if option is str:
            return value
        if value == "" and (get_origin(option) in (list, dict) or is_typeddict(option)):
            return [] if get_origin(option) is list else ""
    if value == "" and options:
        raise invalid(
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a "
            f"parameter; however '{param}' cannot be unset. You should remove '{param}' from your request "
            "or supply a non-empty value.",
            param=param,
            code="parameter_invalid_empty",
        )
    code = "parameter_invalid_integer" if int in options else None
    raise invalid(f"Invalid {_wanted(options)}: {value}", param=param, code=code)


def _wanted(options: list[Any]) -> str:
    names = {"int": "integer", "bool": "boolean", "Decimal": "decimal", "float": "decimal", "str": "string"}
    for option in options:
        if get_origin(option) is list:
            return "array"
        if get_origin(option) is dict or is_typeddict(option):
            return "object"
        return names.get(getattr(option, "__name__", ""), "value")
    return "value"


def _check_metadata(values: dict[str, Any], param: str) -> None:
    if len(values) > _METADATA_KEYS:
        raise invalid(f"Metadata can have up to {_METADATA_KEYS} keys.", param=param)
    for name, value in values.items():
        if len(name) > _METADATA_KEY_LENGTH:
            raise invalid(
                f"Metadata keys can have up to {_METADATA_KEY_LENGTH} characters.", param=f"{param}[{name}]"
            )
        if len(str(value)) > _METADATA_VALUE_LENGTH:
            raise invalid(
                f"Metadata values can have up to {_METADATA_VALUE_LENGTH} characters, but you passed in a "
                f"value that is {len(str(value))} characters.",
                param=f"{param}[{name}]",
            )
