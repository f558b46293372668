"""The customer's own page: what it changes, what it shows first, and where it leads afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stripe import Subscription
from werkzeug.test import TestResponse

from tests.money.twin.shop import GOOD_CARD, Shop

ORIGIN = "http://127.0.0.1:12111"
RETURN = "https://merchant.test/billing"
CARD = {"expiry": "12 / 40", "cvc": "123", "name": "Jenny Rosen"}


class Visit:
    """One customer at the portal, by a browser without scripts."""

    def __init__(self, shop: Shop, customer: str, **more: Any) -> None:
        params: Any = {"customer": customer, "return_url": RETURN, **more}
        self.session = shop.stripe.v1.billing_portal.sessions.create(params)
        self.path = self.session.url.removeprefix(ORIGIN)
        self.browser = shop.app.test_client()

    def get(self, path: str = "") -> TestResponse:
        """Open a page below the session's address; redirects within the twin are followed."""
        return self.browser.get(self.path + path, follow_redirects=True)

    def post(self, path: str, **form: str) -> TestResponse:
        """Send a form; redirects are not followed."""
        return self.browser.post(self.path + path, data=form)


def subscribe(shop: Shop) -> tuple[Subscription, Any, Any]:
    """A customer of the small plan, and a dearer one to change to."""
    small, large = shop.plan(1900, "Starter"), shop.plan(4900, "Pro")
    return shop.subscribe(shop.customer(), small), small, large


def again(shop: Shop, subscription: Subscription) -> Subscription:
    """The subscription as it is now."""
    return shop.stripe.v1.subscriptions.retrieve(subscription.id)


def test_canceling_sets_the_end_alone_as_stripes_page_does_and_can_be_undone(shop: Shop) -> None:
    subscription, _, _ = subscribe(shop)
    visit = Visit(shop, str(subscription.customer))
    address = f"/subscriptions/{subscription.id}"
    end = subscription["items"].data[0].current_period_end
    told = len(shop.events("customer.subscription.updated"))
    assert "Your plan renews on" in visit.get().text
    assert "still available until the end" in visit.get(f"{address}/cancel").text

    assert visit.post(f"{address}/cancel").location == visit.path
    canceled = again(shop, subscription)
    assert (canceled.cancel_at, canceled.cancel_at_period_end, canceled.status) == (end, False, "active")
    shown = visit.get().text
    assert "Your plan ends on" in shown
    assert "Don&#39;t cancel plan" in shown or "Don't cancel plan" in shown
    assert visit.get(f"{address}/cancel").status_code == 404

    visit.post(f"{address}/resume")
    assert again(shop, subscription).cancel_at is None
    assert len(shop.events("customer.subscription.updated")) == told + 2


def test_a_configuration_may_ask_why_and_cancel_at_once(shop: Shop) -> None:
    subscription, _, _ = subscribe(shop)
    reasons: Any = {"enabled": True, "options": ["too_expensive", "other"]}
    feature: Any = {"enabled": True, "mode": "immediately", "cancellation_reason": reasons}
    features: Any = {"subscription_cancel": feature}
    configuration = shop.stripe.v1.billing_portal.configurations.create({"features": features})
    visit = Visit(shop, str(subscription.customer), configuration=configuration.id)
    address = f"/subscriptions/{subscription.id}/cancel"
    assert "It is too expensive" in visit.get(address).text

    visit.post(address, feedback="too_expensive", comment="Sorry")

    ended = again(shop, subscription)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert (ended.cancellation_details.feedback, ended.cancellation_details.comment) == (
        "too_expensive",
        "Sorry",
    )
    assert "There is no plan." in visit.get().text


def test_a_change_of_plan_shows_what_it_costs_before_it_is_made(shop: Shop) -> None:
    subscription, small, large = subscribe(shop)
    feature: Any = {"enabled": True, "proration_behavior": "always_invoice"}
    features: Any = {"subscription_update": feature}
    configuration = shop.stripe.v1.billing_portal.configurations.create({"features": features})
    visit = Visit(shop, str(subscription.customer), configuration=configuration.id)
    address = f"/subscriptions/{subscription.id}/update"
    choices = visit.get(address).text
    assert (small.id in choices, large.id in choices) == (True, True)

    preview = visit.get(f"{address}/confirm?price={large.id}").text
    assert "Amount due today" in preview
    due = re.search(r'data-testid="due">\$([\d.]+)<', preview)
    assert due is not None
    assert again(shop, subscription)["items"].data[0].price.id == small.id

    visit.post(f"{address}/confirm", price=large.id)
    after = again(shop, subscription)
    assert after["items"].data[0].price.id == large.id
    invoice = shop.stripe.v1.invoices.retrieve(str(after.latest_invoice))
    assert (invoice.status, f"{invoice.amount_paid / 100:.2f}") == ("paid", due.group(1))


def test_a_change_that_the_bank_declines_is_not_made(shop: Shop) -> None:
    subscription, small, large = subscribe(shop)
    feature: Any = {"enabled": True, "proration_behavior": "always_invoice"}
    features: Any = {"subscription_update": feature}
    configuration = shop.stripe.v1.billing_portal.configurations.create({"features": features})
    customer = str(subscription.customer)
    shop.control("POST", f"/customers/{customer}/next_charge", {"do": "decline"})
    visit = Visit(shop, customer, configuration=configuration.id)

    answer = visit.post(f"/subscriptions/{subscription.id}/update/confirm", price=large.id)

    assert answer.status_code == 402
    assert "Your plan is unchanged." in answer.text
    assert again(shop, subscription)["items"].data[0].price.id == small.id


@pytest.mark.parametrize("price", ["price_of_nobody", "", "the present one"])
def test_only_a_plan_on_offer_can_be_chosen(shop: Shop, price: str) -> None:
    subscription, small, _ = subscribe(shop)
    visit = Visit(shop, str(subscription.customer))
    wanted = small.id if price == "the present one" else price

    answer = visit.post(f"/subscriptions/{subscription.id}/update/confirm", price=wanted)

    assert answer.status_code == 404


def test_cards_are_added_preferred_and_removed(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"}).id
    visit = Visit(shop, customer)
    wrong = visit.post("/cards/add", number="4242424242424241", **CARD)
    declined = visit.post("/cards/add", number="4000000000000002", **CARD)
    visit.post("/cards/add", number=GOOD_CARD, **CARD)
    visit.post("/cards/add", number="5555555555554444", **CARD)
    newest, oldest = shop.stripe.v1.customers.payment_methods.list(customer).data

    assert (wrong.status_code, declined.status_code) == (422, 402)
    assert default_of(shop, customer) == oldest.id, "the first card is the default"
    visit.post(f"/cards/{newest.id}/default")
    assert default_of(shop, customer) == newest.id
    visit.post(f"/cards/{newest.id}/remove")
    assert default_of(shop, customer) is None
    assert [one.id for one in shop.stripe.v1.customers.payment_methods.list(customer).data] == [oldest.id]


def default_of(shop: Shop, customer: str) -> object:
    """The card that a customer's invoices charge."""
    settings = shop.stripe.v1.customers.retrieve(customer).invoice_settings
    assert settings is not None
    return settings.default_payment_method


def test_a_card_whose_bank_asks_is_saved_after_the_answer(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({}).id
    visit = Visit(shop, customer)

    def answer(word: str) -> TestResponse:
        asked = visit.post("/cards/add", number="4000002500003155", **CARD).location
        key = re.search(r"key=(\w+)", asked)
        assert key is not None
        form = {"key": key.group(1), "answer": word}
        back = visit.browser.post(asked.removeprefix(ORIGIN), data=form).location
        return visit.browser.get(back.removeprefix(ORIGIN), follow_redirects=True)

    assert "failed" in answer("fail").text
    assert shop.stripe.v1.customers.payment_methods.list(customer).data == []
    assert "•••• 3155" in answer("complete").text


def test_nobody_touches_what_is_another_customers(shop: Shop) -> None:
    subscription, _, large = subscribe(shop)
    method = shop.stripe.v1.customers.payment_methods.list(str(subscription.customer)).data[0].id
    stranger = Visit(shop, shop.stripe.v1.customers.create({}).id)
    address = f"/subscriptions/{subscription.id}"

    refused = [
        stranger.post(f"{address}/cancel"),
        stranger.post(f"{address}/resume"),
        stranger.post(f"{address}/update/confirm", price=large.id),
        stranger.post(f"/cards/{method}/default"),
        stranger.post(f"/cards/{method}/remove"),
    ]

    assert {answer.status_code for answer in refused} == {404}
    assert again(shop, subscription).cancel_at is None


def test_what_the_configuration_switches_off_is_not_there(shop: Shop) -> None:
    subscription, _, large = subscribe(shop)
    off: Any = {"enabled": False}
    names = ("invoice_history", "payment_method_update", "subscription_cancel", "subscription_update")
    features: Any = dict.fromkeys(names, off)
    configuration = shop.stripe.v1.billing_portal.configurations.create({"features": features})
    visit = Visit(shop, str(subscription.customer), configuration=configuration.id)
    address = f"/subscriptions/{subscription.id}"

    shown = visit.get().text

    for words in ("Cancel plan", "Update plan", "Add payment method", "Invoices"):
        assert words not in shown
    assert visit.post(f"{address}/cancel").status_code == 404
    assert visit.post(f"{address}/update/confirm", price=large.id).status_code == 404
    assert visit.post("/cards/add", number=GOOD_CARD, **CARD).status_code == 404


def test_invoices_have_a_page_and_a_file(shop: Shop) -> None:
    subscription, _, _ = subscribe(shop)
    shown = Visit(shop, str(subscription.customer)).get().text
    invoice = shop.stripe.v1.invoices.retrieve(str(subscription.latest_invoice))

    assert str(invoice.number) in shown
    assert str(invoice.hosted_invoice_url) in shown
    file = shop.app.test_client().get(str(invoice.invoice_pdf).removeprefix(ORIGIN))
    assert file.data.startswith(b"%PDF-")


# ---- deep links ------------------------------------------------------------------------------------------


def flow(kind: str, task: Any, after: Any) -> Any:
    """`flow_data` of a session for one task."""
    return {"type": kind, "after_completion": after, **({kind: task} if task else {})}


AFTER = {"type": "redirect", "redirect": {"return_url": "https://merchant.test/done"}}


def test_a_deep_link_to_cancel_leads_to_its_task_and_back_to_the_merchant(shop: Shop) -> None:
    subscription, _, _ = subscribe(shop)
    task = {"subscription": subscription.id}
    visit = Visit(shop, str(subscription.customer), flow_data=flow("subscription_cancel", task, AFTER))

    first = visit.get()
    done = visit.post(f"/subscriptions/{subscription.id}/cancel")

    assert "Cancel your plan" in first.text
    assert f'href="{RETURN}"' in first.text
    assert done.location == "https://merchant.test/done"
    assert again(shop, subscription).cancel_at is not None


def test_a_deep_link_to_a_card_makes_it_the_default_and_says_so_in_the_merchants_words(shop: Shop) -> None:
    customer = shop.customer().id
    before = default_of(shop, customer)
    words = {"custom_message": "Thank you, Jenny"}
    after = {"type": "hosted_confirmation", "hosted_confirmation": words}
    visit = Visit(shop, customer, flow_data=flow("payment_method_update", None, after))
    assert "Add payment method" in visit.get().text

    done = visit.post("/cards/add", number="5555555555554444", **CARD)

    assert "Thank you, Jenny" in visit.browser.get(done.location).text
    assert default_of(shop, customer) not in (None, before)


def test_a_deep_link_to_a_change_shows_the_plans_and_ends_on_the_whole_page(shop: Shop) -> None:
    subscription, _, large = subscribe(shop)
    task = {"subscription": subscription.id}
    home = {"type": "portal_homepage"}
    visit = Visit(shop, str(subscription.customer), flow_data=flow("subscription_update", task, home))
    assert "Update your plan" in visit.get().text

    done = visit.post(f"/subscriptions/{subscription.id}/update/confirm", price=large.id)

    assert done.location == visit.path
    assert "Current plan" in visit.get().text
    assert again(shop, subscription)["items"].data[0].price.id == large.id


def test_a_deep_link_to_confirm_makes_its_own_change_and_no_other(shop: Shop) -> None:
    subscription, small, large = subscribe(shop)
    item = subscription["items"].data[0].id
    task = {"subscription": subscription.id, "items": [{"id": item, "price": large.id, "quantity": 1}]}
    data = flow("subscription_update_confirm", task, AFTER)
    visit = Visit(shop, str(subscription.customer), flow_data=data)
    assert "Confirm your update" in visit.get().text

    done = visit.post(f"/subscriptions/{subscription.id}/update/confirm", price=small.id)

    assert done.location == "https://merchant.test/done"
    assert again(shop, subscription)["items"].data[0].price.id == large.id
