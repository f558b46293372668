"""sync_catalogue: Stripe's products and prices in line with our plans and packs.

Our tables are the truth. A product is changed to match; a price is never edited: other terms make
another price, and the old one is archived, so that whoever subscribed to it goes on paying it. A price
is found by its lookup key, which holds its terms, and a product by an id of our making: however often
and in parallel this runs, there is one of each.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict

from billing import database, http, logs
from billing.errors import WorkerError
from billing.operators import require_operator
from billing.rows import Row
from billing.settings import get_settings
from billing.stripe_client import explain, get_client, is_missing
from billing.stripe_facts import id_of

#: How every lookup key of ours begins; prices without it are somebody else's and are left alone.
KEY_PREFIX = "tallybase:"
SUBJECT_MARK = "tallybase_subject"

Action = Literal[
    "create_product",
    "update_product",
    "archive_product",
    "create_price",
    "restore_price",
    "archive_price",
    "record",
]


class SyncRequest(BaseModel):
    """Body of sync_catalogue.

    Attributes:
        dry_run: say what would be done, and do nothing.
    """

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class Entry(Row):
    """`billing.catalogue_entry`: a plan or pack, and what stands for it at Stripe as far as we know."""

    subject_type: Literal["plan", "package"]
    subject_id: uuid.UUID
    key: str
    name: str
    description: str
    is_active: bool
    unit_amount: int
    currency: str
    billing_interval: Literal["day", "week", "month", "year"] | None
    stripe_product_id: str | None
    stripe_price_id: str | None

    @property
    def subject(self) -> str:
        """The mark on the product."""
        return f"{self.subject_type}:{self.subject_id}"

    @property
    def lookup_key(self) -> str:
        """The terms, as the price's name at Stripe; the same as `plan_prices` gives."""
        terms = (self.subject_id, self.unit_amount, self.currency, self.billing_interval or "once")
        return KEY_PREFIX + ":".join(map(str, terms))

    @property
    def product_fields(self) -> dict[str, Any]:
        """What the product must say. Stripe takes no empty description."""
        return {"name": self.name, "description": self.description or None, "active": self.is_active}


@dataclass(frozen=True)
class Change:
    """One difference between our tables and Stripe.

    Attributes:
        entry: the plan or pack.
        action: what mends it.
        stripe_id: the object at Stripe; None for one to be made.
        before: what Stripe has, as far as it differs.
        after: what it shall have.
    """

    entry: Entry
    action: Action
    stripe_id: str | None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the change for an answer or a log."""
        return {
            "subject_type": self.entry.subject_type,
            "subject_id": str(self.entry.subject_id),
            "key": self.entry.key,
            "action": self.action,
            "stripe_id": self.stripe_id,
            "before": self.before,
            "after": self.after,
        }

    def as_line(self) -> str:
        """Return the change as one line for a person."""
        difference = " ".join(
            f"{name}: {self.before.get(name)!r} → {value!r}" for name, value in self.after.items()
        )
        parts = (f"{self.entry.subject_type} {self.entry.key}:", self.action, self.stripe_id, difference)
        return " ".join(part for part in parts if part)


def sync(request: Request) -> http.Answer:
    """Handle POST sync_catalogue, for the holder of the secret key.

    Raises:
        WorkerError: 403, 422, 502, 503. What was done before stays done; the next call goes on from there.
    """
    require_operator(request)
    body = http.parse(request, SyncRequest)
    changes = [change.as_json() for change in synchronize(dry_run=body.dry_run)]
    return http.Answer({"dry_run": body.dry_run, "livemode": get_settings().livemode, "changes": changes})


def synchronize(*, dry_run: bool) -> list[Change]:
    """Bring Stripe in line with our tables.

    Args:
        dry_run: only find the differences.

    Returns:
        The differences, mended unless it is a dry run.

    Raises:
        WorkerError: Stripe or the database refused or did not answer.
    """
    found = database.call("list_catalogue", {"livemode": get_settings().livemode})
    entries = [Entry.model_validate(row) for row in found] if isinstance(found, list) else []
    changes: list[Change] = []
    try:
        for entry in entries:
            changes.extend(_Subject(get_client(), entry, dry_run=dry_run).changes())
    except stripe.StripeError as error:
        raise explain(error) from error
    return changes


class _Subject:
    """One plan or pack: what Stripe has for it, and what is to be done."""

    def __init__(self, client: stripe.StripeClient, entry: Entry, *, dry_run: bool) -> None:
        self._client = client
        self._entry = entry
        self._dry_run = dry_run

    def changes(self) -> Iterator[Change]:
        entry = self._entry
        price = self._find_price()
        product = self._find_product(price)
        if product is None and not entry.is_active:
            return
        if product is None:
            yield Change(entry, "create_product", None, after=_stated(entry.product_fields))
            product_id = self._create_product()
        else:
            product_id = str(product["id"])
            yield from self._update_product(product)
        if entry.is_active:
            price_id = yield from self._put_price(price, product_id)
            yield from self._record(product_id, price_id)
        yield from self._archive_others(product_id)

    def _find_price(self) -> dict[str, Any] | None:
        """The price of these terms, archived or not."""
        found = self._client.v1.prices.list({"lookup_keys": [self._entry.lookup_key], "limit": 1}).data
        return found[0].to_dict() if found else None

    def _find_product(self, price: dict[str, Any] | None) -> dict[str, Any] | None:
        of_price = None if price is None else str(id_of(price["product"]))
        for product_id in (self._entry.stripe_product_id, of_price, *self._product_ids()):
            product = None if product_id is None else self._retrieve_product(product_id)
            if product is not None:
                return product
        return None

    def _product_ids(self) -> Iterator[str]:
        """Ids of our making; another after the first, should somebody have deleted that product."""
        base = f"tallybase_{self._entry.subject_type}_{self._entry.subject_id.hex}"
        yield base
        yield f"{base}_2"

    def _retrieve_product(self, product_id: str) -> dict[str, Any] | None:
        try:
            product = self._client.v1.products.retrieve(product_id).to_dict()
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            return None
        return None if product.get("deleted") else product

    def _create_product(self) -> str:
        first, second = self._product_ids()
        if self._dry_run:
            return first
        fields = {**_stated(self._entry.product_fields), "metadata": {SUBJECT_MARK: self._entry.subject}}
        for product_id in (first, second):
            parameters: Any = {**fields, "id": product_id}
            try:
                return self._client.v1.products.create(parameters).id
            except stripe.InvalidRequestError as error:
                if error.code != "resource_already_exists":
                    raise
                if self._retrieve_product(product_id) is not None:
                    return product_id  # another sync was faster
        raise WorkerError(
            f"The product of {self._entry.subject} was deleted at Stripe, and its successor too."
        )

    def _update_product(self, product: dict[str, Any]) -> Iterator[Change]:
        wanted = {**self._entry.product_fields, "metadata": {SUBJECT_MARK: self._entry.subject}}
        before = {name: product.get(name) for name in self._entry.product_fields}
        before["metadata"] = {SUBJECT_MARK: (product.get("metadata") or {}).get(SUBJECT_MARK)}
        differing = [name for name in wanted if wanted[name] != before[name]]
        if not differing:
            return
        action: Action = (
            "archive_product" if differing == ["active"] and not wanted["active"] else "update_product"
        )
        yield Change(
            self._entry,
            action,
            product["id"],
            {name: before[name] for name in differing},
            {name: wanted[name] for name in differing},
        )
        if not self._dry_run:
            parameters: Any = {
                name: "" if wanted[name] is None else wanted[name] for name in differing
            }  # Stripe empties a text by an empty one
            self._client.v1.products.update(product["id"], parameters)

    def _put_price(
        self, price: dict[str, Any] | None, product_id: str
    ) -> Generator[Change, None, str | None]:
        entry = self._entry
        if price is None:
            terms = {
                "unit_amount": entry.unit_amount,
                "currency": entry.currency,
                "interval": entry.billing_interval,
            }
            yield Change(entry, "create_price", None, after=_stated(terms))
            return None if self._dry_run else self._create_price(product_id)
        if not price["active"]:
            yield Change(entry, "restore_price", price["id"], {"active": False}, {"active": True})
            if not self._dry_run:
                self._client.v1.prices.update(price["id"], {"active": True})
        return str(price["id"])

    def _create_price(self, product_id: str) -> str:
        entry = self._entry
        parameters: stripe.params.PriceCreateParams = {
            "product": product_id,
            "currency": entry.currency,
            "unit_amount": entry.unit_amount,
            "lookup_key": entry.lookup_key,
            "metadata": {SUBJECT_MARK: entry.subject},
        }
        if entry.billing_interval is not None:
            parameters["recurring"] = {"interval": entry.billing_interval}
        try:
            return self._client.v1.prices.create(
                parameters, {"idempotency_key": f"price:{product_id}:{entry.lookup_key}"}
            ).id
        except stripe.InvalidRequestError:
            found = self._find_price()  # the lookup key is taken: another sync was faster
            if found is None:
                raise
            return str(found["id"])

    def _record(self, product_id: str, price_id: str | None) -> Iterator[Change]:
        entry = self._entry
        if (entry.stripe_product_id, entry.stripe_price_id) == (product_id, price_id):
            return
        before = {"stripe_product_id": entry.stripe_product_id, "stripe_price_id": entry.stripe_price_id}
        yield Change(
            entry, "record", price_id, before, {"stripe_product_id": product_id, "stripe_price_id": price_id}
        )
        if self._dry_run or price_id is None:
            return
        database.call(
            "record_stripe_price",
            {
                "subject_type": entry.subject_type,
                "subject_id": str(entry.subject_id),
                "livemode": get_settings().livemode,
                "stripe_product_id": product_id,
                "stripe_price_id": price_id,
                "unit_amount": entry.unit_amount,
                "currency": entry.currency,
                "billing_interval": entry.billing_interval,
            },
        )

    def _archive_others(self, product_id: str) -> Iterator[Change]:
        """Take prices of other terms (of all, when the plan or pack is withdrawn) off sale."""
        try:
            prices = list(
                self._client.v1.prices.list(
                    {"product": product_id, "active": True, "limit": 100}
                ).auto_paging_iter()
            )
        except stripe.InvalidRequestError as error:
            if self._dry_run and is_missing(error, "product"):
                return  # it is to be made
            raise
        for price in prices:
            key = price.lookup_key or ""
            if not key.startswith(KEY_PREFIX) or (self._entry.is_active and key == self._entry.lookup_key):
                continue
            yield Change(self._entry, "archive_price", price.id, {"active": True}, {"active": False})
            if not self._dry_run:
                self._client.v1.prices.update(price.id, {"active": False})


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def main(arguments: list[str]) -> int:
    """Synchronize from a command line, printing one line a difference.

    Args:
        arguments: without the program's name; `--dry-run` only prints.

    Returns:
        The exit status: 0, or 1 when Stripe or the database refused.
    """
    parser = argparse.ArgumentParser(prog="python -m billing.catalogue")
    parser.add_argument("--dry-run", action="store_true", help="print the differences and change nothing")
    dry_run = parser.parse_args(arguments).dry_run
    try:
        changes = synchronize(dry_run=dry_run)
    except WorkerError as error:
        print(f"{error.slug}: {error.hint}", file=sys.stderr)
        return 1
    for change in changes:
        print(change.as_line())
    print(f"{len(changes)} difference{'' if len(changes) == 1 else 's'}{' found' if dry_run else ' mended'}")
    return 0


if __name__ == "__main__":
    logs.configure()
    sys.exit(main(sys.argv[1:]))
