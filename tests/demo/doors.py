"""The demo's three calls without any client, and the walls between two organizations."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx

from tests.conftest import GLOBEX, StackUnderTest
from tests.demo.company import Company, compact, plain, signed_in
from tests.demo.narrator import Narrator
from tests.ledger.api import LedgerApi

_SPEND = {"amount": 5, "agent_type": "TestAgent", "action": "test"}
_STRANGER = "member@globex.test"


def call_with_curl_alone(company: Company, tell: Narrator) -> None:
    """Make the three plain calls, and each refusal that they must give."""
    tell.step("Three calls that need no client")
    before = company.balance
    tell.say('curl -H "Authorization: Bearer $TOKEN" $WORKERS_URL/api/credits/balance')
    status, balance = _answer(company.workers.api("GET", "/credits/balance"))
    tell.say(f"HTTP {status} {compact(balance)}")
    tell.claim(f"the balance: {plain(before)}", (status, balance["balance"]), (200, before))

    tell.say("curl $WORKERS_URL/api/billing/plans")
    status, catalogue = _answer(httpx.get(f"{company.stack.workers_url}/api/billing/plans"))
    plans = [plan["name"] for plan in catalogue["plans"]]
    packs = [pack["name"] for pack in catalogue["packages"]]
    tell.say(f"HTTP {status} plans {', '.join(plans)}; packs {', '.join(packs)}")
    tell.claim("the plans, for everybody", (status, plans), (200, ["Free", "Starter", "Pro", "Business"]))

    tell.say(
        'curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" '
        f"-d '{json.dumps(_SPEND)}' $WORKERS_URL/api/credits/use"
    )
    status, receipt = _answer(company.workers.api("POST", "/credits/use", json=_SPEND))
    tell.say(f"HTTP {status} {compact(receipt)}")
    tell.claim(
        f"5 credits: {plain(before)} -> {plain(before - 5)}",
        (status, receipt["amount"], receipt["balance"], company.balance),
        (200, 5, before - 5, before - 5),
    )
    _be_refused(company, tell)


def _be_refused(company: Company, tell: Narrator) -> None:
    spend = {**_SPEND, "amount": 1_000_000}
    negative = {**_SPEND, "amount": -5}
    answers = {
        (401, "not_authenticated"): httpx.get(f"{company.stack.workers_url}/api/credits/balance"),
        (402, "insufficient_credits"): company.workers.api("POST", "/credits/use", json=spend),
        (422, "invalid_amount"): company.workers.api("POST", "/credits/use", json=negative),
    }
    what = ("without a token", "for 1,000,000 credits", "for -5 credits")
    for words, (expected, response) in zip(what, answers.items(), strict=True):
        status, body = _answer(response)
        tell.claim(f"{words}: HTTP {status} {compact(body)}", (status, body["message"]), expected)


def be_invisible_to_strangers(company: Company, tell: Narrator) -> None:
    """Look at everything as a member of another organization."""
    tell.step("A member of another organization sees nothing of this one")
    stack = company.stack
    token = signed_in(stack, _STRANGER)
    stranger = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    tables = _tables_of_tenants(stack, token)
    tell.say(f"{_STRANGER} asks {len(tables)} tables and views for this organization's rows")
    seen = {
        table: rows
        for table in tables
        if (rows := stranger.select(f"{table}?organization_id=eq.{company.organization_id}").body)
    }
    tell.claim("no row in any of them", seen, {})
    own = stranger.select(f"credit_balances?organization_id=eq.{GLOBEX}").accepted()
    tell.claim(f"of their own organization they see the balance: {plain(own[0]['balance'])}", len(own), 1)
    calls: dict[str, dict[str, object]] = {
        "get_credit_balance": {},
        "consume_credits": _SPEND,
        "check_credits": _SPEND,
        "create_agent_key": {"name": "theirs"},
        "verify_ledger": {},
    }
    for function, arguments in calls.items():
        answer = stranger.call(function, organization_id=company.organization_id, **arguments)
        tell.claim(f"{function}: 403 not_authorized", (answer.status, answer.slug), (403, "not_authorized"))


def _tables_of_tenants(stack: StackUnderTest, token: str) -> list[str]:
    """Return every table and view that has tenants, as the API describes itself to this person."""
    headers = {
        "apikey": stack.publishable_key,
        "Authorization": f"Bearer {token}",
        "Accept-Profile": "billing",
    }
    described = httpx.get(f"{stack.rest_url}/", headers=headers, timeout=30).raise_for_status().json()
    found: dict[str, Any] = described["definitions"]
    return sorted(name for name, table in found.items() if "organization_id" in table["properties"])


def prove_the_ledger(company: Company, tell: Narrator) -> None:
    """Ask the database for broken invariants: of this ledger, and of all."""
    tell.step("verify_ledger: every invariant of the ledger, recomputed from its entries")
    entries = company.rows("credit_transactions", "&select=kind,amount&order=sequence")
    total = sum((Decimal(entry["amount"]) for entry in entries), Decimal(0))
    tell.say(f"{len(entries)} entries, their sum is {plain(total)}")
    broken = company.owner.call("verify_ledger", organization_id=company.organization_id).accepted()
    tell.claim("no row for this organization", broken, [])
    service = LedgerApi(company.stack.supabase_url, company.stack.secret_key)
    tell.claim("no row for any organization", service.call("verify_ledger").accepted(), [])


def _answer(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, json.loads(response.text, parse_float=Decimal)
