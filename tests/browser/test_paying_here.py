"""Paying on this page: the unchanged `@stripe/react-stripe-js` with a form that Stripe serves."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import FrameLocator, Route, expect

from tests.browser.accessibility import sideways_overflow, violations
from tests.browser.conftest import Complaints, Look, Owner
from tests.browser.places import CARD_ASKS_3DS, CARD_DECLINED, CARD_PAYS, SLOW_MS, Site
from tests.conftest import PASSWORD, Organization, StackUnderTest
from tests.money.conftest import Books, Buyer
from tests.money.saved_cards import card_holder
from tests.money.world import Deliveries, Workers

PACK = "500 credits"
SECONDS = 30.0


@dataclass(frozen=True)
class PaymentForm:
    """The form of one pack on the page."""

    site: Site

    @classmethod
    def open(cls, site: Site, pack: str = PACK) -> PaymentForm:
        """Choose to pay on this page and press a pack's button."""
        site.page.get_by_role("radio", name="On this page").check(force=True)
        site.page.get_by_role("button", name=re.compile(rf"^Buy {re.escape(pack)} for ")).click()
        form = cls(site)
        expect(form.frame.get_by_label("Card number")).to_be_visible(timeout=SLOW_MS)
        return form

    @property
    def frame(self) -> FrameLocator:
        """Stripe's part of it."""
        return self.site.page.frame_locator('iframe[title="Secure payment input frame"]')

    @property
    def bank(self) -> FrameLocator:
        """The bank's question over the page."""
        return self.site.page.frame_locator("dialog iframe")

    def enter(self, card: str) -> None:
        """Fill in a card."""
        self.frame.get_by_label("Card number").fill(card)
        self.frame.get_by_label("Expiration date").fill("12 / 40")
        self.frame.get_by_label("Security code").fill("123")

    def pay(self) -> None:
        """Press the button."""
        self.site.page.get_by_role("button", name=re.compile(r"^Pay \$")).click()


def test_a_declined_card_buys_nothing_and_another_one_pays_on_the_same_form(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner()
    site = owner.site
    form = PaymentForm.open(site)
    site.shoot("01-form")
    form.enter(CARD_DECLINED)
    form.pay()
    alert = site.page.get_by_role("alert").filter(has_text="Not paid")
    expect(alert).to_contain_text("Your card was declined.", timeout=SLOW_MS)
    complaints.texts.clear()  # the browser notes the HTTP 402
    site.shoot("02-declined")
    form.enter(CARD_PAYS)
    form.pay()
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    site.shoot("03-paid")
    site.page.get_by_role("button", name="Back to billing").click()
    expect(site.available).to_have_text("500")
    rows = owner.organization.service.table("payments").select("status, amount, card_last4")
    mine = rows.eq("organization_id", str(owner.organization.organization_id)).execute().data
    assert mine == [{"status": "succeeded", "amount": 1000, "card_last4": "4242"}]


@pytest.mark.parametrize("answer", ["Complete", "Fail"])
def test_the_bank_asks_over_the_page(
    new_owner: Callable[..., Owner], complaints: Complaints, answer: str
) -> None:
    site = new_owner().site
    form = PaymentForm.open(site)
    form.enter(CARD_ASKS_3DS)
    form.pay()
    button = form.bank.get_by_role("button", name=answer)
    expect(button).to_be_visible(timeout=SLOW_MS)
    site.shoot("01-bank-asks")
    button.press("Enter")
    if answer == "Complete":
        expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    else:
        alert = site.page.get_by_role("alert").filter(has_text="Not paid")
        expect(alert).to_contain_text("unable to authenticate", timeout=SLOW_MS)
        expect(site.available).to_have_text("0")
        expect(site.page.get_by_role("button", name=re.compile(r"^Pay \$"))).to_be_enabled()
    assert [text for text in complaints.texts if "402" not in text] == []


def test_a_bank_debit_is_pending_until_the_bank_has_paid(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner()
    site = owner.site
    form = PaymentForm.open(site)
    form.frame.get_by_label("US bank account").check()
    form.frame.get_by_label("Name on account").fill("Jenny Rosen")
    form.frame.get_by_label("Account number").fill("000123456789")
    form.pay()
    expect(site.page.get_by_role("heading", name="Payment pending")).to_be_visible(timeout=SLOW_MS)
    expect(site.available).to_have_text("0")
    site.shoot("01-pending")
    rows: Any = (
        owner.organization.service.table("payments")
        .select("stripe_payment_intent_id")
        .eq("organization_id", str(owner.organization.organization_id))
        .execute()
        .data
    )
    url = f"{stack.stripe_twin_url}/_twin/payment_intents/{rows[0]['stripe_payment_intent_id']}/settle"
    httpx.post(url, json={"outcome": "succeeded"}, timeout=SECONDS).raise_for_status()
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)


def test_a_card_kept_at_one_purchase_pays_the_next_with_a_click(new_owner: Callable[..., Owner]) -> None:
    site = new_owner().site
    form = PaymentForm.open(site)
    form.enter(CARD_PAYS)
    form.frame.get_by_label("Save this card for my next purchase").check()
    form.pay()
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    site.page.get_by_role("button", name="Back to billing").click()

    site.page.get_by_role("radio", name="On this page").check(force=True)
    site.page.get_by_role("button", name=re.compile(r"^Buy 500 credits for ")).click()
    saved = form.frame.get_by_label(re.compile("Visa •••• 4242"))
    expect(saved).to_be_checked(timeout=SLOW_MS)
    site.shoot("01-saved-card")
    form.pay()
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    site.page.get_by_role("button", name="Back to billing").click()
    expect(site.available).to_have_text("1,000")


def test_a_promotion_code_takes_its_part_off_and_can_be_taken_off_again(
    new_owner: Callable[..., Owner], stack: StackUnderTest, complaints: Complaints
) -> None:
    word = f"HALF{secrets.token_hex(4)}".upper()
    v1 = Deliveries(stack).client.v1
    coupon = v1.coupons.create({"percent_off": 50, "duration": "once"})
    v1.promotion_codes.create({"code": word, "promotion": {"type": "coupon", "coupon": coupon.id}})
    owner = new_owner()
    page = owner.site.page
    form = PaymentForm.open(owner.site)
    page.get_by_text("Add a promotion code").click()

    def use(code: str) -> None:
        page.get_by_label("Promotion code", exact=True).fill(code)
        page.get_by_role("button", name="Apply").click()

    use("NONSENSE")
    expect(page.get_by_text("This code is invalid.")).to_be_visible(timeout=SLOW_MS)
    complaints.texts.clear()
    use(word.lower())
    expect(page.get_by_role("button", name="Pay $5.00")).to_be_visible(timeout=SLOW_MS)
    owner.site.shoot("01-half-off")
    page.get_by_role("button", name="Remove code").click()
    expect(page.get_by_role("button", name="Pay $10.00")).to_be_visible(timeout=SLOW_MS)
    page.get_by_text("Add a promotion code").click()
    use(word)
    expect(page.get_by_role("button", name="Pay $5.00")).to_be_visible(timeout=SLOW_MS)
    form.enter(CARD_PAYS)
    form.pay()
    expect(owner.site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    rows = owner.organization.service.table("payments").select("amount")
    mine = rows.eq("organization_id", str(owner.organization.organization_id)).execute().data
    assert mine == [{"amount": 500}]


def test_where_tax_depends_on_the_place_it_is_asked_for_before_anything_is_paid(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    """Our worker asks for tax only where it is switched on; here the page gets a session that does."""
    v1 = Deliveries(stack).client.v1
    pack = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": PACK}}
    params: Any = {
        "mode": "payment",
        "ui_mode": "elements",
        "return_url": "https://example.com/",
        "customer_email": "owner@acme.test",
        "automatic_tax": {"enabled": True},
        "line_items": [{"quantity": 1, "price_data": pack}],
    }
    session = v1.checkout.sessions.create(params)
    answer = {
        "session_id": session.id,
        "client_secret": session.client_secret,
        "allow_promotion_codes": session.allow_promotion_codes or False,
    }
    site = new_owner().site
    site.page.route("**/workers/v1/create_checkout_session", lambda route: fulfil(route, answer))
    PaymentForm.open(site)
    pay = site.page.get_by_role("button", name=re.compile(r"^Pay \$"))
    expect(pay).to_be_disabled()
    expect(site.page.get_by_text("Add a promotion code")).to_have_count(0)  # this session takes none

    site.page.get_by_label("Country (two letters)").fill("IE")
    site.page.get_by_label("Postal code").fill("D02")
    site.page.get_by_label("Postal code").blur()

    expect(pay).to_be_enabled(timeout=SLOW_MS)
    expect(pay).not_to_have_text("Pay $10.00")
    expect(site.page.get_by_text(re.compile(r"^Includes \$[\d.]+ tax$"))).to_be_visible()
    assert violations(site.page) == []
    site.shoot("01-tax")


def fulfil(route: Route, answer: object) -> None:
    """Answer a call of the page's in the worker's place."""
    headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
    route.fulfill(status=200, json=answer, headers=headers)


def test_back_to_the_packs_buys_nothing_and_the_hosted_page_stays_the_default(
    new_owner: Callable[..., Owner],
) -> None:
    site = new_owner().site
    expect(site.page.get_by_role("radio", name="On Stripe's page")).to_be_checked(timeout=SLOW_MS)
    PaymentForm.open(site)
    site.page.get_by_role("button", name="Back to the packs").click()
    expect(site.page.get_by_role("radio", name="On Stripe's page")).to_be_checked()
    site.buy(PACK).leave()
    expect(site.outcome).to_contain_text("Nothing was bought")


def test_the_choice_stays_when_the_paywall_goes_because_credits_came(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    page = owner.site.page
    expect(page.get_by_test_id("paywall")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("radio", name="On this page").check(force=True)

    owner.organization.grant(5000)

    expect(page.get_by_test_id("paywall")).to_be_hidden(timeout=SLOW_MS)
    expect(page.get_by_role("radio", name="On this page")).to_be_checked(timeout=SLOW_MS)


def test_the_packs_are_not_shown_in_one_place_and_then_in_another(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner()
    page = owner.site.page
    held: list[Route] = []
    page.route("**/rest/v1/rpc/get_credit_balance*", lambda route: held.append(route))
    owner.open()
    # Shown to those who may buy: the page knows by now that the packs belong on it, but not yet where.
    expect(page.get_by_role("heading", name="Recent payments")).to_be_visible(timeout=SLOW_MS)
    assert held
    expect(page.get_by_role("radio", name="On this page")).to_have_count(0)
    page.route("**/rest/v1/rpc/get_credit_balance*", lambda route: route.continue_())  # instead, from now on
    for route in held:
        route.continue_()
    expect(page.get_by_test_id("paywall")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("radio", name="On this page")).to_have_count(1)


def test_stripes_script_is_not_loaded_before_it_is_needed_and_its_loss_is_said_in_words(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    site = new_owner().site
    asked: list[str] = []
    site.page.on("request", lambda request: asked.append(request.url))
    site.page.route("**/stripe.js", lambda route: route.abort())
    expect(site.page.get_by_role("radio", name="On this page")).to_be_visible(timeout=SLOW_MS)
    assert not any("stripe.js" in url or "payment_form" in url for url in asked)
    site.page.get_by_role("radio", name="On this page").check(force=True)
    site.page.get_by_role("button", name=re.compile(r"^Buy 500 credits for ")).click()
    alert = site.page.get_by_role("alert").filter(has_text="The payment form did not open")
    expect(alert).to_contain_text("Nothing was charged", timeout=SLOW_MS)
    complaints.texts.clear()
    site.shoot("01-out-of-reach")


LOOKS = {
    "light": Look(),
    "dark": Look(color_scheme="dark"),
    "narrow-light": Look(width=320, height=700),
    "narrow-dark": Look(width=320, height=700, color_scheme="dark"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_form_is_accessible_in_every_look_by_keyboard_alone(
    new_site: Callable[..., Site],
    new_organization: Callable[..., Organization],
    complaints: Complaints,
    look: str,
) -> None:
    site = new_site(LOOKS[look])
    site.sign_in(new_organization().owner.email, PASSWORD)
    form = PaymentForm.open(site)
    assert violations(site.page) == []
    assert sideways_overflow(site.page) == 0
    site.shoot(f"01-form-{look}")
    form.frame.get_by_label("Card number").focus()
    for text in (CARD_DECLINED.replace(" ", ""), "1240", "123"):
        site.page.keyboard.type(text)
        site.page.keyboard.press("Tab")
    pay = site.page.get_by_role("button", name=re.compile(r"^Pay \$"))
    for _ in range(8):
        if pay.evaluate("button => button === document.activeElement"):
            break
        site.page.keyboard.press("Tab")
    site.page.keyboard.press("Enter")
    alert = site.page.get_by_role("alert").filter(has_text="Not paid")
    expect(alert).to_be_visible(timeout=SLOW_MS)
    complaints.texts.clear()
    assert violations(site.page) == []
    site.shoot(f"02-declined-{look}")


def test_a_top_up_that_the_bank_asks_about_is_confirmed_on_the_overview(
    new_owner: Callable[..., Owner],
    stack: StackUnderTest,
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    owner = new_owner()
    organization = owner.organization
    session = organization.owner.client.auth.get_session()
    assert session is not None
    books = Books(database, organization.organization_id)
    buyer = Buyer(organization, Workers(stack, session.access_token), books)
    holder = card_holder(buyer, Deliveries(stack))
    holder.save("pm_card_authenticationRequired")
    holder.agree(threshold=10, amount=100)
    (attempt,) = holder.start().json()["attempts"]
    assert attempt["status"] == "needs_action"
    page = owner.site.page
    owner.open()

    page.get_by_role("button", name="Confirm payment").click()
    complete = page.frame_locator("dialog iframe").get_by_role("button", name="Complete")
    expect(complete).to_be_visible(timeout=SLOW_MS)
    owner.site.shoot("01-bank-asks")
    complete.click()

    expect(owner.site.available).to_have_text("100", timeout=SLOW_MS)
    expect(page.get_by_role("button", name="Confirm payment")).to_have_count(0)
    assert holder.charges == [attempt["amount"]]
