"""The Stripe price of a plan: found or made, once for each set of terms."""

from __future__ import annotations

import uuid
from typing import Literal

import stripe

from billing import database
from billing.settings import get_settings

Interval = Literal["day", "week", "month", "year"]


def ensure(
    client: stripe.StripeClient,
    plan_id: uuid.UUID,
    name: str,
    unit_amount: int,
    currency: str,
    interval: Interval,
) -> str:
    """Return the price at which a plan is sold, making product and price when Stripe has none.

    A price is found by its lookup key, which holds the terms: however many workers ask at once, and however
    often an answer gets lost, there is one price for one set of terms. One that was archived at Stripe is
    put on sale again, with its product, as the sync does: whether a plan is on offer is our table's to say.

    Args:
        client: Stripe.
        plan_id: the plan.
        name: of the product, for a new one.
        unit_amount: price of one period, in the smallest unit of the currency.
        currency: ISO 4217 code in lower case.
        interval: length of a period.

    Raises:
        stripe.StripeError: Stripe made none.
        DatabaseUnavailableError: it could not be recorded; the next call finds it.
    """
    key = f"tallybase:{plan_id}:{unit_amount}:{currency}:{interval}"
    price = _find(client, key) or _create(client, key, plan_id, name, unit_amount, currency, interval)
    _put_on_sale(client, price)
    database.call(
        "record_stripe_price",
        {
            "subject_type": "plan",
            "subject_id": str(plan_id),
            "livemode": get_settings().livemode,
            "stripe_product_id": price.product if isinstance(price.product, str) else price.product.id,
            "stripe_price_id": price.id,
            "unit_amount": unit_amount,
            "currency": currency,
            "billing_interval": interval,
        },
    )
    return price.id


def _find(client: stripe.StripeClient, lookup_key: str) -> stripe.Price | None:
    found = client.v1.prices.list({"lookup_keys": [lookup_key], "limit": 10, "expand": ["data.product"]}).data
    return max(found, key=lambda price: price.active, default=None)


def _put_on_sale(client: stripe.StripeClient, price: stripe.Price) -> None:
    product = price.product
    if isinstance(product, stripe.Product) and not product.active:
        client.v1.products.update(product.id, {"active": True})
    if not price.active:
        client.v1.prices.update(price.id, {"active": True})


def _create(
    client: stripe.StripeClient,
    lookup_key: str,
    plan_id: uuid.UUID,
    name: str,
    unit_amount: int,
    currency: str,
    interval: Interval,
) -> stripe.Price:
    try:
        return client.v1.prices.create(
            {
                "currency": currency,
                "unit_amount": unit_amount,
                "recurring": {"interval": interval},
                "lookup_key": lookup_key,
                "metadata": {"plan_id": str(plan_id)},
                "product_data": {"name": name, "metadata": {"plan_id": str(plan_id)}},
            },
            {"idempotency_key": f"price:{lookup_key}"},
        )
    except stripe.InvalidRequestError:
        # Somebody else made it in between: the lookup key is taken.
        price = _find(client, lookup_key)
        if price is None:
            raise
        return price
