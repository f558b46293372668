"""Products and prices as we read them at Stripe: whether they can still be sold."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import stripe

from billing.stripe_facts import Facts, now


class CatalogueObjectFacts(Facts):
    """A product or price (`billing_private.catalogue_object_facts`)."""

    stripe_object_id: str
    object: Literal["product", "price"]
    is_usable: bool
    livemode: bool
    fetched_at: datetime


def read_product(client: stripe.StripeClient, product_id: str) -> CatalogueObjectFacts:
    """Read a product; one that is deleted, or that Stripe no longer knows, is not usable.

    Raises:
        stripe.StripeError: Stripe did not answer.
    """
    started = now()
    try:
        product = client.v1.products.retrieve(product_id).to_dict()
    except stripe.InvalidRequestError as error:
        product = _gone(error, product_id)
    return _facts("product", product, started)


def read_price(client: stripe.StripeClient, price_id: str) -> CatalogueObjectFacts:
    """Read a price; raises as `read_product`."""
    started = now()
    try:
        price = client.v1.prices.retrieve(price_id).to_dict()
    except stripe.InvalidRequestError as error:
        price = _gone(error, price_id)
    return _facts("price", price, started)


def _gone(error: stripe.InvalidRequestError, object_id: str) -> dict[str, Any]:
    if error.code != "resource_missing":
        raise error
    return {"id": object_id, "deleted": True}


def _facts(
    kind: Literal["product", "price"], read: dict[str, Any], fetched_at: datetime
) -> CatalogueObjectFacts:
    return CatalogueObjectFacts(
        stripe_object_id=read["id"],
        object=kind,
        is_usable=bool(read.get("active")) and not read.get("deleted"),
        livemode=bool(read.get("livemode")),
        fetched_at=fetched_at,
    )
