"""One walk through everything the twin does, so that the oracles see every kind of answer and event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import stripe

from tests.money.twin.receiver import Received
from tests.money.twin.shop import CANCEL_URL, Json, Shop, pack
from tests.money.twin.story_billing import live_through_billing


@dataclass(frozen=True)
class Walk:
    """What one walk left behind.

    Attributes:
        calls: verb, path and body of every answer of the API.
        events: every event as the API shows it, newest first.
        delivered: every request that reached the webhook endpoint.
    """

    calls: list[tuple[str, str, Json]]
    events: list[Json]
    delivered: list[Received]


def live_through(shop: Shop) -> None:
    """Make every call of the API at least once, with cards that pay, decline and ask."""
    _catalogue(shop)
    customer = _customer(shop)
    _checkouts(shop, customer)
    intent = _intents(shop, customer)
    _refunds(shop, intent)
    _endpoints(shop)
    v1 = shop.stripe.v1
    portal: Any = {"customer": customer, "return_url": CANCEL_URL, "locale": "de"}
    v1.billing_portal.sessions.create(portal)
    v1.events.retrieve(v1.events.list({"limit": 1}).data[0].id)
    v1.customers.delete(customer)
    v1.customers.retrieve(customer)
    live_through_billing(shop)


def _catalogue(shop: Shop) -> None:
    v1 = shop.stripe.v1
    product = v1.products.create(
        {
            "name": "500 credits",
            "description": "For agents",
            "images": ["https://merchant.test/500.png"],
            "marketing_features": [{"name": "Never expires"}],
            "metadata": {"pack": "500"},
            "default_price_data": {"currency": "usd", "unit_amount": 1900},
        }
    )
    price = v1.prices.create(
        {"product": product.id, "currency": "eur", "unit_amount_decimal": "12.5", "lookup_key": "small"}  # type: ignore[typeddict-item]
    )
    v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 900,
            "product_data": {"name": "Plan"},
            "recurring": {"interval": "month"},
        }
    )
    v1.prices.retrieve(price.id)
    v1.prices.update(price.id, {"nickname": "Small", "active": False})
    v1.prices.list({"product": product.id})
    v1.products.retrieve(product.id, {"expand": ["default_price"]})
    v1.products.update(product.id, {"description": "", "metadata": {"pack": "", "size": "500"}})
    v1.products.list({"active": True})
    v1.products.delete(v1.products.create({"name": "Withdrawn", "url": "https://merchant.test"}).id)


def _customer(shop: Shop) -> str:
    v1 = shop.stripe.v1
    address: Any = {"line1": "1 Main St", "city": "Dublin", "country": "IE"}
    customer = v1.customers.create(
        {
            "email": "owner@acme.test",
            "name": "Acme Robotics",
            "address": address,
            "shipping": {"name": "Acme", "address": address},
            "metadata": {"organization_id": "1"},
            "payment_method": "pm_card_visa",
        }
    )
    method = v1.payment_methods.create(
        {"type": "card", "card": {"number": "5555555555554444", "exp_month": 12, "exp_year": 2034}}
    )
    v1.payment_methods.attach(method.id, {"customer": customer.id})
    v1.payment_methods.update(method.id, {"metadata": {"kept": "yes"}})
    v1.payment_methods.retrieve(method.id, {"expand": ["customer"]})
    v1.payment_methods.list({"customer": customer.id, "type": "card"})
    v1.customers.payment_methods.list(customer.id)
    settings: Any = {"default_payment_method": method.id}
    v1.customers.update(customer.id, {"invoice_settings": settings, "phone": "+353 1 000 0000"})
    v1.payment_methods.detach(method.id)
    v1.customers.list({"email": "owner@acme.test"})
    return customer.id


def _checkouts(shop: Shop, customer: str) -> None:
    sessions = shop.stripe.v1.checkout.sessions
    kept = shop.session(
        customer=customer,
        client_reference_id="acme",
        metadata={"pack": "500"},
        line_items=[pack(1900), pack(500, "100 credits", 3)],
        payment_intent_data={"setup_future_usage": "off_session", "description": "500 credits"},
        invoice_creation={"enabled": True},
        allow_promotion_codes=True,
        saved_payment_method_options={"payment_method_save": "enabled"},
        custom_text={"submit": {"message": "Credits arrive at once."}},
    )
    shop.browser().pay(kept, "4000000000000002")
    shop.browser().answer_challenge(shop.browser().pay(kept, "4000002500003155"), "fail")
    shop.browser().answer_challenge(shop.browser().pay(kept, "4000002500003155"), "complete")
    guest = shop.session(customer_email="guest@acme.test", customer_creation="always")
    shop.browser().pay(guest)
    free = shop.session(line_items=[pack(0, "Trial")])
    shop.browser().pay(free)
    expired = sessions.expire(shop.session().id)
    sessions.update(expired.id, {"metadata": {"seen": "yes"}})
    sessions.retrieve(kept.id, {"expand": ["line_items", "payment_intent.latest_charge", "customer"]})
    sessions.list({"customer": customer})
    sessions.line_items.list(kept.id, {"limit": 1})


def _intents(shop: Shop, customer: str) -> str:
    v1 = shop.stripe.v1
    method = v1.payment_methods.list({"customer": customer}).data[0]
    base = {"customer": customer}
    topup: Any = {"off_session": True, "confirm": True, "metadata": {"kind": "topup"}}
    paid = shop.intent(**base, **topup, payment_method=method.id)
    for refused in ("pm_card_authenticationRequired", "pm_card_visa_chargeDeclinedInsufficientFunds"):
        with pytest.raises(stripe.CardError):
            shop.intent(**base, payment_method=refused, off_session=True, confirm=True)
    asking = shop.intent(**base, payment_method="pm_card_authenticationRequired")
    v1.payment_intents.confirm(asking.id, {"return_url": "https://merchant.test/back"})
    v1.payment_intents.cancel(asking.id, {"cancellation_reason": "abandoned"})
    scripted = shop.intent(**base, payment_method="pm_card_authenticationRequired")
    v1.payment_intents.confirm(scripted.id)
    later = shop.intent(**base, allowed_payment_method_types=["card"])
    v1.payment_intents.update(later.id, {"description": "Later", "metadata": {"a": "b"}})
    v1.payment_intents.retrieve(paid.id, {"expand": ["latest_charge", "payment_method"]})
    v1.payment_intents.list({"customer": customer})
    return paid.id


def _refunds(shop: Shop, intent: str) -> None:
    v1 = shop.stripe.v1
    refund = v1.refunds.create({"payment_intent": intent, "amount": 900, "reason": "requested_by_customer"})
    v1.refunds.create({"charge": str(refund.charge)})
    v1.refunds.retrieve(refund.id, {"expand": ["charge"]})
    v1.refunds.update(refund.id, {"metadata": {"ticket": "1"}})
    v1.refunds.list({"payment_intent": intent})
    v1.charges.retrieve(str(refund.charge), {"expand": ["refunds", "payment_intent"]})
    v1.charges.update(str(refund.charge), {"description": "Refunded"})
    v1.charges.list({"payment_intent": intent})


def _endpoints(shop: Shop) -> None:
    endpoints = shop.stripe.v1.webhook_endpoints
    made = endpoints.create(
        {
            "url": "http://127.0.0.1:9/none",
            "enabled_events": ["charge.refunded"],
            "api_version": "2026-10-28.endive",
        }
    )
    endpoints.retrieve(made.id)
    endpoints.update(made.id, {"disabled": True})
    endpoints.list()
    endpoints.delete(made.id)
