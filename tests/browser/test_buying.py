"""Buying on Stripe's page: what each ending does, and what the page says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.conftest import Complaints, Owner
from tests.browser.places import CARD_ASKS_3DS, CARD_DECLINED, CARD_PAYS, SLOW_MS

PACK = "500 credits"


def test_a_declined_card_buys_nothing_and_another_card_may_follow(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner()
    site = owner.site
    checkout = site.buy(PACK)
    checkout.pay(CARD_DECLINED)
    alerts = site.page.get_by_role("alert").filter(has_text=re.compile("declined", re.IGNORECASE))
    expect(alerts.first).to_be_visible()
    complaints.texts.clear()
    site.shoot("01-declined-on-the-checkout-page")
    owner.open()
    expect(site.available).to_have_text("0")
    expect(site.card("Recent payments").get_by_role("cell", name="Paid", exact=True)).to_have_count(0)
    site.shoot("02-nothing-bought")
    again = site.buy(PACK)
    again.pay(CARD_PAYS)
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)


def test_a_card_with_3d_secure_buys_after_the_challenge(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    checkout = site.buy(PACK)
    checkout.pay(CARD_ASKS_3DS)
    expect(site.page.get_by_test_id("challenge-complete")).to_be_visible()
    site.shoot("01-challenge")
    checkout.answer_challenge("complete")
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    site.shoot("02-bought")
    site.page.get_by_role("button", name="Back to billing").click()
    expect(site.available).to_have_text("500")


def test_a_failed_3d_secure_challenge_buys_nothing(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    checkout = site.buy(PACK)
    checkout.pay(CARD_ASKS_3DS)
    checkout.answer_challenge("fail")
    expect(site.page.get_by_role("alert")).to_contain_text("unable to authenticate")
    owner.open()
    expect(site.available).to_have_text("0")


def test_leaving_the_checkout_leads_back_and_says_that_nothing_was_bought(
    new_owner: Callable[..., Owner],
) -> None:
    owner = new_owner()
    site = owner.site
    site.buy(PACK).leave()
    expect(site.outcome).to_contain_text("Nothing was bought and nothing was charged.")
    site.shoot("01-checkout-was-left")
    site.page.get_by_role("button", name="Choose a pack").click()
    expect(site.available).to_have_text("0")


def test_coming_back_before_the_payment_is_booked_shows_no_balance_until_it_is(
    new_owner: Callable[..., Owner],
) -> None:
    """The browser is made to see our rows as they are before the webhook or the worker books anything."""
    site = new_owner().site
    held_back: list[Route] = []
    unpaid: dict[str, object] = {
        "id": "0",
        "status": "open",
        "mode": "payment",
        "credits": "500.000000",
        "url": None,
    }
    site.page.route("**/workers/v1/fulfil_checkout", lambda route: held_back.append(route))
    site.page.route("**/rest/v1/checkout_sessions?*", lambda route: _answer_row(route, unpaid))
    site.page.route("**/rest/v1/payments?*", lambda route: _answer_row(route, None))
    site.buy(PACK).pay(CARD_PAYS)
    expect(site.page.get_by_role("heading", name="Confirming your payment")).to_be_visible(timeout=SLOW_MS)
    expect(site.outcome).to_contain_text("Your balance changes once it is confirmed, not before.")
    expect(site.page.get_by_test_id("balance-after-purchase")).to_have_count(0)
    site.shoot("01-processing")
    for route in held_back:
        route.continue_()
    site.page.unroute_all()
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    expect(site.page.get_by_test_id("balance-after-purchase")).to_have_text(
        "You now have 500 credits available."
    )


def _answer_row(route: Route, row: dict[str, object] | None) -> None:
    """Answer as PostgREST does: one object, or a list of nothing."""
    route.fulfill(
        status=200,
        content_type="application/json",
        headers={"Access-Control-Allow-Origin": "*"},
        body=json.dumps([] if row is None else [row]),
    )


def test_the_return_page_of_an_unpaid_checkout_says_so(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    site.buy(PACK)
    session_id = site.page.url.rsplit("/", 1)[-1].split("?")[0]
    site.open(f"/billing/return?organization={owner.organization.organization_id}&session_id={session_id}")
    expect(site.page.get_by_role("heading", name="Not paid yet")).to_be_visible(timeout=SLOW_MS)
    expect(site.page.get_by_test_id("balance-after-purchase")).to_have_count(0)
    site.shoot("01-not-paid-yet")
    site.page.get_by_role("link", name="Continue checkout").click()
    expect(site.page.get_by_test_id("pay")).to_be_visible()


def test_somebody_elses_checkout_is_not_found(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner()
    site = owner.site
    site.open(f"/billing/return?organization={owner.organization.organization_id}&session_id=cs_test_foreign")
    expect(site.page.get_by_role("heading", name="Checkout not found")).to_be_visible(timeout=SLOW_MS)
    complaints.texts.clear()


def test_a_double_click_on_buy_opens_one_checkout(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    site.page.get_by_role("button", name=re.compile(r"^Buy 500 credits for ")).dblclick()
    expect(site.page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)
    rows = (
        owner.organization.service.table("checkout_sessions")
        .select("id")
        .eq("organization_id", str(owner.organization.organization_id))
    )
    assert len(rows.execute().data) == 1


def test_a_worker_out_of_reach_is_said_in_words(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    site = new_owner().site
    site.page.route("**/workers/v1/create_checkout_session", lambda route: route.abort())
    site.page.get_by_role("button", name=re.compile(r"^Buy 500 credits for ")).click()
    expect(site.page.get_by_role("alert").filter(has_text="Checkout did not open")).to_contain_text(
        "The server could not be reached."
    )
    expect(site.page.get_by_role("button", name=re.compile(r"^Buy 500 credits for "))).to_be_enabled()
    complaints.texts.clear()
