"""Every call takes the parameters that Stripe's own types name, and refuses all others."""

from __future__ import annotations

import ast
import importlib
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

import pytest
import stripe
from typing_extensions import get_type_hints, is_typeddict

from stripe_twin.errors import StripeError
from stripe_twin.operations import OPERATIONS, Operation
from stripe_twin.parameters import check
from tests.money.twin.shop import Shop, pack

PLACEHOLDER = re.compile(r"<\w+>|\{\w+\}")
NAMES = [f"{entry.method} {entry.path}" for entry in OPERATIONS]


def library_calls() -> dict[tuple[str, str], str]:
    """Return (method, path) → parameter class, read from the sources of the library's services."""
    found: dict[tuple[str, str], str] = {}
    assert stripe.__file__ is not None
    for source in Path(stripe.__file__).parent.rglob("_*_service.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                found.update(_call_of(node))
    return found


def _call_of(function: ast.FunctionDef) -> dict[tuple[str, str], str]:
    texts = [n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    paths = [text for text in texts if text.startswith("/v1/")]
    verbs = [text for text in texts if text in ("get", "post", "delete")]
    annotations = [
        ast.unparse(a.annotation) for a in function.args.args if a.arg == "params" and a.annotation
    ]
    names = re.findall(r"\w+Params", annotations[0]) if annotations else []
    if len(paths) != 1 or len(verbs) != 1 or not names:
        return {}
    return {(verbs[0].upper(), PLACEHOLDER.sub("{}", paths[0])): names[0]}


LIBRARY = library_calls()


@pytest.mark.parametrize("entry", OPERATIONS, ids=NAMES)
def test_each_call_exists_in_the_library_with_the_same_parameters(entry: Operation) -> None:
    expected = LIBRARY[entry.method, PLACEHOLDER.sub("{}", entry.path)]
    kind = entry.parameter_type()
    assert kind is not None
    assert kind.__name__ == expected


@pytest.mark.parametrize("entry", OPERATIONS, ids=NAMES)
def test_each_call_refuses_a_parameter_that_this_api_version_does_not_have(
    shop: Shop, entry: Operation
) -> None:
    path = re.sub(r"<\w+>", "x_1", entry.path)
    sent = {"payment_method_kinds[0]": "card"}
    more: Any = {"query_string": sent} if entry.method == "GET" else {"data": sent}
    answer = shop.raw(entry.method, path, **more)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error["code"], error["param"]) == ("parameter_unknown", "payment_method_kinds")


@pytest.mark.parametrize("removed", ["payment_method_types", "subscription", "foo"])
def test_checkout_refuses_parameters_that_were_removed_or_never_were(shop: Shop, removed: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.session(**{removed: ["card"]})
    assert (refusal.value.http_status, refusal.value.code) == (400, "parameter_unknown")


def test_an_unknown_parameter_inside_a_group_is_named_with_its_path(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.session(line_items=[{**pack(100), "name": "old style"}])
    assert (refusal.value.code, refusal.value.param) == ("parameter_unknown", "line_items[0][name]")


def test_a_caller_without_a_version_may_send_what_older_versions_had(shop: Shop) -> None:
    answer = shop.app.test_client().post(
        "/v1/customers",
        data={"email": "cli@acme.test", "account_balance": "5"},
        headers={"Authorization": "Bearer sk_test_cli"},
    )
    assert answer.status_code == 200
    assert answer.get_json()["email"] == "cli@acme.test"


@pytest.mark.parametrize(
    ("path", "sent", "code", "param"),
    [
        ("/v1/payment_intents", {"currency": "usd"}, "parameter_missing", "amount"),
        ("/v1/payment_intents", {"amount": "9.50", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {"amount": "5", "currency": "usd"}, "amount_too_small", "amount"),
        ("/v1/payment_intents", {"amount": "500", "currency": "us"}, None, "currency"),
        ("/v1/products", {"name": "x", "active": "perhaps"}, None, "active"),
        ("/v1/products", {"name": "x", "metadata": "text"}, None, "metadata"),
        ("/v1/products", {"name[a]": "x"}, None, "name"),
        ("/v1/checkout/sessions", {"mode": "purchase"}, None, "mode"),
        ("/v1/checkout/sessions", {"success_url": "https://a.test"}, "parameter_missing", "mode"),
        ("/v1/checkout/sessions", {"mode": "payment"}, "parameter_missing", "success_url"),
        (
            "/v1/checkout/sessions",
            {"mode": "payment", "success_url": "https://a.test"},
            "parameter_missing",
            "line_items",
        ),
        ("/v1/customers", {f"metadata[{'k' * 41}]": "v"}, None, f"metadata[{'k' * 41}]"),
        ("/v1/customers", {"metadata[k]": "v" * 501}, None, "metadata[k]"),
        ("/v1/customers", {"a[b": "c"}, None, "a[b"),
        ("/v1/webhook_endpoints", {"url": "https://a.test"}, "parameter_missing", "enabled_events"),
    ],
)
def test_a_wrong_value_is_refused_and_named(
    shop: Shop, path: str, sent: dict[str, str], code: str | None, param: str
) -> None:
    answer = shop.raw("POST", path, data=sent)
    error = answer.get_json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error.get("code"), error["param"]) == (code, param)


def sample(hint: Any) -> Any:
    """Return a value that fits a parameter's type, as a decoded form carries it."""
    while get_origin(hint) in (NotRequired, Required):
        hint = get_args(hint)[0]
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        return sample(next(one for one in get_args(hint) if get_args(one) != ("",)))
    if get_origin(hint) is Literal:
        return str(get_args(hint)[-1])
    if get_origin(hint) is list:
        return [sample(get_args(hint)[0])]
    if get_origin(hint) is dict:
        return {"some_key": sample(get_args(hint)[1])}
    if is_typeddict(hint):
        return {name: sample(inner) for name, inner in get_type_hints(hint, include_extras=True).items()}
    return {float: "1.5", int: "7", bool: "true", Decimal: "1.5", str: "text"}[hint]


@pytest.mark.parametrize("entry", OPERATIONS, ids=NAMES)
def test_each_parameter_that_the_library_knows_passes_the_check(entry: Operation) -> None:
    kind = entry.parameter_type()
    assert kind is not None
    module = vars(importlib.import_module(kind.__module__))
    for name, annotation in kind.__annotations__.items():
        if name in stripe.RequestOptions.__annotations__:
            continue
        holder = type("Holder", (), {"__annotations__": {name: annotation}, "__module__": kind.__module__})
        hint = get_type_hints(holder, globalns=module, include_extras=True)[name]
        assert refusal({name: sample(hint)}, kind) is None


def refusal(values: dict[str, Any], kind: type) -> str | None:
    """Return what a check complains about, other than further parameters that are missing."""
    try:
        check(values, kind)
    except StripeError as error:
        return None if error.code == "parameter_missing" else error.message
    return None


def test_what_stripe_takes_and_the_twin_lacks_is_refused_and_not_ignored(shop: Shop) -> None:
    for more in (
        {"tax_id_collection": {"enabled": True, "required": "if_supported"}},
        {"payment_intent_data": {"capture_method": "manual"}},
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            shop.session(**more)
        assert refusal.value.code == "twin_not_supported"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.session(consent_collection={"terms_of_service": "required"})
    assert (refusal.value.code, refusal.value.param) == ("twin_not_supported", "consent_collection")


def test_tax_ids_may_be_asked_for_and_need_not_be_given(shop: Shop) -> None:
    collection = shop.session(tax_id_collection={"enabled": True}).tax_id_collection
    assert collection
    assert (collection.enabled, collection.required) == (True, "never")
    untouched = shop.session().tax_id_collection
    assert untouched
    assert not untouched.enabled


def test_a_call_with_another_call_s_parameters_turns_the_oracle_red() -> None:
    def handler() -> dict[str, Any]:
        return {}

    wrong = Operation(
        "POST", "/v1/subscriptions", "_subscription_update_params.SubscriptionUpdateParams", handler
    )
    with pytest.raises(AssertionError):
        test_each_call_exists_in_the_library_with_the_same_parameters(wrong)
    invented = Operation("POST", "/v1/subscriptions/<id>/renew", None, handler)
    with pytest.raises(KeyError):
        test_each_call_exists_in_the_library_with_the_same_parameters(invented)
