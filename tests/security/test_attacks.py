"""Every attack of the list is refused, shows nothing and changes nothing, and its control goes through."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import StackUnderTest
from tests.security.attacks import ATTACKS, Ask, Attack
from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database, money_digest
from tests.security.conftest import CallersOf
from tests.security.http import Answer, Caller
from tests.security.matrix import fill


def _send(caller: Caller, ask: Ask, cast: Cast, unique: str) -> tuple[Answer, str]:
    """Send a request with the cast's ids in it; return the answer and what was asked."""
    named = Cast(cast.acme, cast.globex, cast.users, cast.agent_key, {**cast.ids, "unique": unique})
    path, body = fill(ask.path, named), fill(ask.body, named)
    answer = caller.send(ask.method, path, body, **ask.headers)
    return answer, f"{path}{json.dumps(body, default=str)}"


def _foreign(cast: Cast) -> list[str]:
    foreign = [value for name, value in cast.ids.items() if name.startswith("foreign_")]
    return [str(cast.globex), str(cast.users["stranger"]), *foreign]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused_and_its_control_is_not(
    attack: Attack, owner_session: Database, callers_of: CallersOf
) -> None:
    cast = make_cast(owner_session, furnished=attack.ask.method == "GET")
    unique = secrets.token_hex(8).upper()
    callers = callers_of(cast)
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    answer, asked = _send(callers[attack.by], attack.ask, cast, unique)
    assert answer.status in attack.refused, answer
    if answer.status == 200 and attack.ask.method == "GET":
        assert answer.body in ([], [{"count": 0}])
    shown = [value for value in _foreign(cast) if value in answer.text and value not in asked]
    assert attack.by == "stranger" or shown == []
    if "create_organization" not in attack.ask.path:
        assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before
    if attack.control:
        ask = attack.control_ask or attack.ask
        control, _ = _send(callers[attack.control], ask, cast, unique)
        assert control.status in (200, 201, 204), control
        assert ask.method != "GET" or control.body, "the control sees what there is"


def test_the_list_is_long(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{len(ATTACKS)} attacks, {sum(bool(a.control) for a in ATTACKS)} with a control")
    assert len(ATTACKS) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_a_department_left_out_does_not_escape_its_limit(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    """By a bound member and by a bound key; an unbound member is not stopped by it."""
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    limit = {
        "subject_type": "department",
        "subject_id": cast.ids["department"],
        "amount": 2,
        "window": "month",
    }
    assert callers["billing"].call("set_credit_limit", limit).status == 200
    key = callers["owner"].call(
        "create_agent_key",
        {"organization_id": cast.acme, "name": "k", "department_id": cast.ids["department"]},
    )
    bound_agent = Caller("agent", rest, {"apikey": stack.publishable_key, "x-agent-key": key.body["key"]})
    spend = {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1}
    before = money_digest(owner_session, str(cast.acme))
    for caller in (callers["department_member"], bound_agent):
        for body in (spend, spend | {"department_id": None}, spend | {"organization_id": cast.acme}):
            for function, arguments in (
                ("consume_credits", body),
                ("hold_credits", body),
                ("consume_credits_batch", {"events": [body]}),
            ):
                assert caller.call(function, arguments).slug == "limit_exceeded", (caller.name, function)
    assert money_digest(owner_session, str(cast.acme)) == before
    assert callers["member"].call("consume_credits", spend).status == 200


def test_a_department_moved_while_a_hold_is_open_takes_no_hold_with_it(
    owner_session: Database, callers_of: CallersOf
) -> None:
    """The hold is charged where it was taken; afterwards its holder is charged where they are."""
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    member, owner = callers["department_member"], callers["owner"]
    spend = {"agent_type": cast.ids["agent_type"], "action": "do", "organization_id": cast.acme}
    hold = member.call("hold_credits", spend | {"amount": 4})
    assert hold.status == 200, hold
    moved = {
        "organization_id": cast.acme,
        "user_id": cast.users["department_member"],
        "role": "member",
        "department_id": cast.ids["other_department"],
    }
    assert owner.call("set_member_role", moved).status == 200
    captured = member.call("capture_hold", {"hold_id": hold.body["hold_id"], "amount": 3})
    assert captured.status == 200, captured
    assert member.call("consume_credits", spend | {"amount": 2}).status == 200
    assert member.call(
        "consume_credits", spend | {"amount": 2, "department_id": cast.ids["department"]}
    ).slug == ("not_authorized")
    charged = _charged(owner, cast)
    assert charged[cast.ids["department"]] == 3 + 1 + 1
    assert charged[cast.ids["other_department"]] == 2


def _charged(owner: Caller, cast: Cast) -> dict[str, Decimal]:
    """Return what each department was charged; the cast's bound member and admin spent 1 each before."""
    rows: list[dict[str, Any]] = owner.get(
        f"credit_usage?select=department_id,amount&organization_id=eq.{cast.acme}"
    ).body
    charged: dict[str, Decimal] = {}
    for row in rows:
        charged[row["department_id"]] = charged.get(row["department_id"], Decimal(0)) + Decimal(row["amount"])
    return charged
