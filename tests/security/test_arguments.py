"""What callers may not say: amounts, keys and metadata beyond their bounds are refused and change nothing.

Bodies are sent as raw JSON, because a client library would repair or refuse some of them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database, money_digest
from tests.security.conftest import CallersOf
from tests.security.http import Answer, Caller

#: JSON of what is no amount: 400 for what is no number at all, 422 from the product for the rest.
BAD_AMOUNTS = [
    *("-5", "-0.000001", '"NaN"', '"nan"', '"Infinity"', '"-Infinity"'),
    *("1e400", "1e14", "1e131071", "1e999999"),
    *('""', '"five"', "true", "[]", "{}", '"5; drop table x"', '"1,000"', '"1e"'),
]
#: Functions that take one: name, argument, whether 0 and null are bad too.
AMOUNTS = [
    ("consume_credits", "amount", True, True),
    ("hold_credits", "amount", False, False),
    ("capture_hold", "amount", False, False),
    ("extend_hold", "additional", False, False),
    ("extend_hold", "metered", False, False),
    ("grant_credits", "amount", True, True),
    ("adjust_credits", "delta", True, True),
    ("refund_consumption", "amount", True, False),
    ("transfer_credits", "amount", True, True),
    ("set_credit_limit", "amount", False, True),
    ("create_agent_key", "spend_limit", False, False),
    ("set_agent_action_cost", "credit_cost", False, True),
    ("create_promotion_code", "credits", True, True),
]


def _arguments(name: str, cast: Cast) -> dict[str, Any]:
    acme, ids = str(cast.acme), cast.ids
    spend = {"agent_type": ids["agent_type"], "action": "do", "organization_id": acme, "amount": 1}
    every: dict[str, dict[str, Any]] = {
        "consume_credits": spend,
        "hold_credits": spend,
        "check_credits": spend,
        "capture_hold": {"hold_id": ids["hold"]},
        "extend_hold": {"hold_id": ids["hold"]},
        "grant_credits": {"organization_id": acme, "amount": 1, "source": "promotion"},
        "adjust_credits": {"organization_id": acme, "reason": "x", "idempotency_key": "k"},
        "refund_consumption": {
            "transaction_id": ids["transaction"],
            "reason": "customer",
            "idempotency_key": "k",
        },
        "transfer_credits": {
            "from_department_id": None,
            "to_department_id": ids["department"],
            "idempotency_key": "k",
        },
        "set_credit_limit": {"subject_type": "organization", "subject_id": acme, "window": "day"},
        "create_agent_key": {"organization_id": acme, "name": "x"},
        "set_agent_action_cost": {"agent_type": ids["agent_type"], "action": "new", "organization_id": acme},
        "create_promotion_code": {"code": "ABC"},
        "grant_credits_bulk": {"grants": [{"organization_id": acme, "amount": 1, "source": "promotion"}]},
        "void_grant": {"grant_id": ids["grant"]},
        "create_department": {"organization_id": acme},
        "create_organization": {"owner_user_id": str(cast.users["owner"])},
    }
    return every[name]


def _body(arguments: dict[str, Any], name: str, raw: str) -> str:
    """The arguments as JSON, with one of them exactly as given."""
    others = {key: value for key, value in arguments.items() if key != name}
    return json.dumps(others)[:-1] + f', "{name}": {raw}}}'


def _is_refused(answer: Answer) -> bool:
    """Whether it was refused for what it says, not because there is no such function."""
    return answer.status in (400, 404, 413, 422) and answer.slug not in ("", "PGRST202")


@pytest.mark.parametrize(("function", "argument", "zero_is_bad", "null_is_bad"), AMOUNTS)
def test_a_bad_amount_is_refused_and_changes_nothing(
    function: str,
    argument: str,
    zero_is_bad: bool,
    null_is_bad: bool,
    owner_session: Database,
    cast: Cast,
    callers: dict[str, Caller],
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    fine = {
        "delta": {"-5", "-0.000001"},  # signed
    }
    bad = [raw for raw in BAD_AMOUNTS if raw not in fine.get(argument, set())]
    bad += ["0"] * zero_is_bad + ["null"] * null_is_bad
    arguments = _arguments(function, cast)
    accepted = {}
    for raw in bad:
        answer = callers["service"].call(function, _body(arguments, argument, raw))
        if not _is_refused(answer):
            accepted[raw] = answer
    assert accepted == {}
    assert money_digest(owner_session, str(cast.acme)) == before


@pytest.mark.parametrize(("function", "argument"), [(name, argument) for name, argument, _, _ in AMOUNTS])
def test_a_good_amount_is_accepted(
    function: str, argument: str, owner_session: Database, callers_of: CallersOf
) -> None:
    cast = make_cast(owner_session)
    for raw in ("1", "1.000000"):
        arguments = _arguments(function, cast) | (
            {"code": f"C{cast.acme.hex[:20]}"} if function == "create_promotion_code" else {}
        )
        answer = callers_of(cast)["service"].call(function, _body(arguments, argument, raw))
        assert answer.status == 200 or answer.slug in ("hold_captured", "invalid_argument"), answer
        if raw == "1":
            assert answer.status == 200, answer


_AMOUNT_OF: dict[str, dict[str, object]] = {
    "adjust_credits": {"delta": 1},
    "transfer_credits": {"amount": 1},
    "set_credit_limit": {"amount": 1},
}
NAMES = [
    ("consume_credits", "idempotency_key"),
    ("consume_credits", "run_id"),
    ("consume_credits", "agent_type"),
    ("consume_credits", "action"),
    ("hold_credits", "idempotency_key"),
    ("grant_credits", "source_reference"),
    ("grant_credits_bulk", "batch_key"),
    ("adjust_credits", "idempotency_key"),
    ("adjust_credits", "reason"),
    ("void_grant", "reason"),
    ("capture_hold", "idempotency_key"),
    ("create_department", "name"),
    ("create_organization", "name"),
    ("refund_consumption", "idempotency_key"),
    ("transfer_credits", "idempotency_key"),
    ("create_agent_key", "name"),
    ("set_credit_limit", "subject_id"),
]


@pytest.mark.parametrize(("function", "argument"), NAMES)
@pytest.mark.parametrize(
    "text",
    ["", "x" * 10_000, "   ", "a\nb", "a\u0000b", "\u001b[31m"],
    ids=["0", "10000", "blank", "line", "null", "escape"],
)
def test_a_name_out_of_bounds_is_refused(
    function: str, argument: str, text: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    arguments = _arguments(function, cast) | _AMOUNT_OF.get(function, {})
    answer = callers["service"].call(function, arguments | {argument: text})
    assert _is_refused(answer), answer
    assert len(answer.text) < 1000, "a refusal does not echo what it refuses"
    assert money_digest(owner_session, str(cast.acme)) == before


METADATA_BOMBS = {
    "more than 8 kB": json.dumps({"x": "x" * 8192}),
    "five megabytes": json.dumps({"x": "x" * 5_000_000}),
    "a number that is short to write": '{"x": 1e131000}',
    "100,000 levels deep": '{"x":' * 100_000 + "1" + "}" * 100_000,
    "an array 100,000 levels deep": "[" * 100_000 + "]" * 100_000,
    "a hundred thousand keys": json.dumps({str(number): number for number in range(100_000)}),
    "no object": "[1, 2]",
    "a text": '"x"',
    "a null character": '{"x": "\\u0000"}',
    "half a surrogate": '{"x": "\\ud800"}',
}


@pytest.mark.parametrize("bomb", METADATA_BOMBS)
@pytest.mark.parametrize("function", ["consume_credits", "hold_credits", "check_credits", "grant_credits"])
def test_a_metadata_bomb_is_refused(
    function: str, bomb: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    answer = callers["service"].call(
        function, _body(_arguments(function, cast), "metadata", METADATA_BOMBS[bomb])
    )
    assert _is_refused(answer), answer.status
    assert len(answer.text) < 2000
    assert money_digest(owner_session, str(cast.acme)) == before


def test_metadata_up_to_its_bound_is_kept(owner_session: Database, callers_of: CallersOf) -> None:
    cast = make_cast(owner_session)
    metadata = {"x": "x" * 8183}
    assert len(json.dumps(metadata)) == 8192
    service = callers_of(cast)["service"]
    receipt = service.call("consume_credits", _arguments("consume_credits", cast) | {"metadata": metadata})
    assert receipt.status == 200, receipt
    kept = service.get(
        f"credit_usage?select=metadata&transaction_id=eq.{receipt.body['transaction_id']}&organization_id=eq.{cast.acme}"
    )
    assert kept.body == [{"metadata": metadata}]


@pytest.mark.parametrize(
    "named", ["price", "credit_cost", "created_at", "now", "balance", "user_id", "agent_key_id", "p_amount"]
)
def test_a_caller_names_no_price_time_or_person(
    named: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    for principal in ("member", "agent", "service"):
        answer = callers[principal].call(
            "consume_credits", _arguments("consume_credits", cast) | {named: "1"}
        )
        assert (answer.status, answer.slug) == (404, "PGRST202"), principal
    assert money_digest(owner_session, str(cast.acme)) == before


def test_a_caller_cannot_spend_and_take_it_back(owner_session: Database, callers_of: CallersOf) -> None:
    cast = make_cast(owner_session)
    member = callers_of(cast)["member"]
    before = _balance(member, cast)
    answer = member.send(
        "POST", "rpc/consume_credits", _arguments("consume_credits", cast), Prefer="tx=rollback"
    )
    assert answer.status == 200, answer
    assert _balance(member, cast) == before - 1


def _balance(caller: Caller, cast: Cast) -> Decimal:
    answer = caller.call("get_credit_balance", {"organization_id": cast.acme})
    assert answer.status == 200, answer
    return Decimal(answer.body["balance"])


def _query(cast: Cast) -> str:
    return urlencode(_arguments("consume_credits", cast))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_verbs_do_not_spend(
    method: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    for principal, caller in callers.items():
        path = f"rpc/consume_credits?{_query(cast)}"
        assert caller.send(method, path).status >= 400, principal
    assert money_digest(owner_session, str(cast.acme)) == before


def test_what_may_be_read_may_be_asked_by_get(cast: Cast, callers: dict[str, Caller]) -> None:
    path = f"rpc/check_credits?{_query(cast)}"
    assert callers["member"].get(path).body["allowed"] is True
    assert callers["agent"].get(path).body["allowed"] is True
    assert callers["anon"].get(path).slug == "not_authorized"


@pytest.mark.parametrize(
    "events", ["null", "{}", '"x"', "[1]", "[[]]", json.dumps([{"action": "do"}] * 1001)]
)
def test_a_batch_is_a_list_of_at_most_a_thousand_spends(
    events: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme))
    answer = callers["member"].call(
        "consume_credits_batch", _body({"organization_id": str(cast.acme)}, "events", events)
    )
    assert answer.slug == "invalid_argument", answer
    assert money_digest(owner_session, str(cast.acme)) == before


def test_a_bad_uuid_is_a_bad_request(cast: Cast, callers: dict[str, Caller]) -> None:
    values: list[object] = ["x", "", "1' or '1'='1", 7, [], {}]
    for name in ("organization_id", "department_id"):
        for value in values:
            answer = callers["member"].call(
                "consume_credits", _arguments("consume_credits", cast) | {name: value}
            )
            assert answer.status == 400, (name, value, answer)
            assert answer.slug in ("22P02", "PGRST102"), answer
