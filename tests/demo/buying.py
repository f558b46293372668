"""The demo's purchases: worker, checkout page, card, signed webhook, and what the ledger says then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.demo.company import Company, compact, plain
from tests.demo.narrator import Narrator
from tests.money.world import CARD_ASKS_3DS, CARD_DECLINED, CARD_PAYS, Deliveries, HostedPage

_REDIRECTS = (302, 303)


def buy_500(company: Company, tell: Narrator) -> str:
    """Buy 500 credits with a card that pays; returns the checkout session's id."""
    tell.step("The owner buys 500 credits with the card 4242 4242 4242 4242")
    session = _open_checkout(company, tell, "pack_500")
    redirect = HostedPage(session["url"]).pay(CARD_PAYS, company.email)
    tell.claim("the page took the card and sent the browser back", redirect.status_code in _REDIRECTS, True)
    tell.say(f"-> {redirect.headers['location']}")
    deliveries = Deliveries(company.stack)
    deliveries.await_delivery(company.organization_id)
    event = deliveries.event_of(session["session_id"])
    tell.say(f"webhook: {event['type']} {event['id']}, signed, delivered: {_delivery(company, event['id'])}")
    tell.claim(f"the balance is {plain(company.balance)}", company.balance, 500)
    payments, grants = company.rows("payments"), company.rows("credit_grants")
    tell.claim("there is one payment and one grant", (len(payments), len(grants)), (1, 1))
    payment, grant = payments[0], grants[0]
    tell.claim(
        f"payment: {payment['status']}, {payment['amount']} {payment['currency']} (in cents), "
        f"{payment['card_brand']} {payment['card_last4']}",
        (payment["status"], payment["amount"], payment["currency"], payment["card_last4"]),
        ("succeeded", 1000, "usd", "4242"),
    )
    tell.claim(
        f"grant: {plain(grant['amount'])} credits, source {grant['source']}",
        (grant["amount"], grant["source_reference"]),
        (500, session["session_id"]),
    )
    answer = company.workers.return_page(session["session_id"]).json()
    tell.claim(f"the return page says {answer['status']}", answer["status"], "complete")
    return str(session["session_id"])


def be_declined(company: Company, tell: Narrator) -> None:
    """Try a card that is declined."""
    tell.step("A declined card (4000 0000 0000 0002) buys nothing")
    before = company.balance
    session = _open_checkout(company, tell, "pack_500")
    page = HostedPage(session["url"]).pay(CARD_DECLINED, company.email)
    tell.claim("the page shows the decline (HTTP 402) and stays", page.status_code, 402)
    Deliveries(company.stack).await_delivery(company.organization_id)
    failed = company.rows("payments", "&status=eq.failed")
    tell.claim(
        f"one payment that failed: {failed[0]['failure_code'] if failed else 'none'}",
        [payment["failure_code"] for payment in failed],
        ["generic_decline"],
    )
    tell.claim(f"the balance is still {plain(before)}", company.balance, before)


def buy_with_3d_secure(company: Company, tell: Narrator) -> None:
    """Buy with a card whose bank asks; nothing is bought before the answer."""
    tell.step("A 3-D Secure card (4000 0027 6000 3184) buys after the challenge, not before")
    before = company.balance
    session = _open_checkout(company, tell, "pack_100")
    page = HostedPage(session["url"])
    challenge = page.pay(CARD_ASKS_3DS, company.email)
    tell.say(f"-> the bank's page {challenge.headers['location'].split('?')[0]}")
    tell.claim(f"before the answer the balance is {plain(before)}", company.balance, before)
    page.answer_challenge(challenge, "complete")
    Deliveries(company.stack).await_delivery(company.organization_id)
    tell.claim(f"after it the balance is {plain(before + 100)}", company.balance, before + 100)


def deliver_again(company: Company, session_id: str, tell: Narrator) -> None:
    """Send the first purchase's webhook five more times, two at once."""
    tell.step("The first purchase's webhook comes five more times, two at once")
    before, grants = company.balance, len(company.rows("credit_grants"))
    deliveries = Deliveries(company.stack)
    event = deliveries.event_of(session_id)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: deliveries.send(event), range(5)))
    for answer in answers:
        tell.say(f"HTTP {answer.status_code} {compact(answer.json())}")
    tell.claim(
        "each was taken, and known as a duplicate",
        [(answer.status_code, answer.json()["is_duplicate"]) for answer in answers],
        [(200, True)] * 5,
    )
    tell.claim(
        f"still {grants} grants and {plain(before)} credits",
        (len(company.rows("credit_grants")), company.balance),
        (grants, before),
    )
    forged = deliveries.send(event, secret="whsec_somebody_elses")
    tell.claim("signed with another secret it is refused (HTTP 400)", forged.status_code, 400)


def _open_checkout(company: Company, tell: Narrator, package_key: str) -> dict[str, Any]:
    session = company.workers.buy(company.organization_id, package_key)
    tell.say(f"POST /workers/v1/create_checkout_session {package_key} -> {session['url']}")
    return session


def _delivery(company: Company, event_id: str) -> str:
    answer = httpx.get(f"{company.stack.stripe_twin_url}/_twin/deliveries", params={"event_id": event_id})
    return ", ".join(f"HTTP {one['last_status']}" for one in answer.json()["data"])
