"""Plans and packs at Stripe: made once, replaced and never edited, whoever syncs and however often."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import stripe

from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.saved_cards import as_operator
from tests.money.world import CARD_PAYS, Deliveries, HostedPage

pytestmark = pytest.mark.serial


@dataclass(frozen=True)
class Shelf:
    """A pack of the test's own on the shelf, and the sync.

    Attributes:
        stack: where everything is.
        database: a session as `postgres`.
        key: the pack's key.
        subject_id: the pack's id.
        stripe: Stripe, with the merchant's key.
    """

    stack: StackUnderTest
    database: psycopg.Connection[dict[str, Any]]
    key: str
    subject_id: str
    stripe: stripe.StripeClient

    def sync(self, *, dry_run: bool = False) -> list[dict[str, Any]]:
        """Synchronize everything and return what concerned the pack."""
        answer = as_operator(self.stack, "sync_catalogue", {"dry_run": dry_run})
        assert answer.status_code == 200, answer.text
        return [change for change in answer.json()["changes"] if change["key"] == self.key]

    def change(self, assignment: str) -> None:
        """Edit the pack, as a platform admin does."""
        query = f"update billing.credit_packages set {assignment} where id = %s"
        self.database.execute(query.encode(), (self.subject_id,))

    @property
    def recorded(self) -> dict[str, Any]:
        """What stands for the pack at Stripe, by our own row."""
        found = self.database.execute(
            "select stripe_product_id, stripe_price_id from billing_private.stripe_catalogue "
            "where subject_id = %s",
            (self.subject_id,),
        ).fetchone()
        assert found is not None
        return found

    @property
    def prices(self) -> list[tuple[int | None, str, bool]]:
        """Every price of the pack's product at Stripe, cheapest first."""
        product = self.recorded["stripe_product_id"]
        found = self.stripe.v1.prices.list({"product": product, "limit": 100}).data
        return sorted((price.unit_amount, price.currency, price.active) for price in found)


@pytest.fixture
def shelf(
    stack: StackUnderTest, database: psycopg.Connection[dict[str, Any]], deliveries: Deliveries
) -> Iterator[Shelf]:
    """A pack of 100 credits for 900 yen; the catalogue is forgotten again after the test."""
    key = f"sync_{secrets.token_hex(6)}"
    row = database.execute(
        "insert into billing.credit_packages (key, name, description, credits, unit_amount, currency) "
        "values (%s, 'Synced', 'For the test', 100, 900, 'jpy') returning id",
        (key,),
    ).fetchone()
    assert row is not None
    yield Shelf(stack, database, key, str(row["id"]), deliveries.client)
    database.execute("update billing.credit_packages set is_active = false where key = %s", (key,))
    database.execute("delete from billing_private.stripe_catalogue")
    database.execute("delete from billing_private.stripe_prices where subject_id = %s", (row["id"],))


def actions(changes: list[dict[str, Any]]) -> list[str]:
    """The actions, in order."""
    return [change["action"] for change in changes]


def test_a_dry_run_says_what_is_missing_and_changes_nothing(shelf: Shelf) -> None:
    said = shelf.sync(dry_run=True)

    assert actions(said) == ["create_product", "create_price", "record"]
    assert said[1]["after"] == {"unit_amount": 900, "currency": "jpy"}
    assert shelf.sync(dry_run=True) == said
    assert (
        shelf.database.execute(
            "select 1 from billing_private.stripe_catalogue where subject_id = %s", (shelf.subject_id,)
        ).fetchall()
        == []
    )


def test_a_sync_makes_what_is_missing_and_a_second_one_finds_nothing_to_do(shelf: Shelf) -> None:
    assert actions(shelf.sync()) == ["create_product", "create_price", "record"]

    assert shelf.sync() == []
    assert shelf.prices == [(900, "jpy", True)]
    product = shelf.stripe.v1.products.retrieve(shelf.recorded["stripe_product_id"])
    assert (product.name, product.description, product.active) == ("Synced", "For the test", True)


def test_another_price_replaces_the_old_one_which_is_archived(shelf: Shelf) -> None:
    shelf.sync()
    first = shelf.recorded["stripe_price_id"]
    shelf.change("unit_amount = 1000, name = 'Dearer'")

    changes = shelf.sync()

    assert actions(changes) == ["update_product", "create_price", "record", "archive_price"]
    assert changes[0]["before"] == {"name": "Synced"}
    assert changes[0]["after"] == {"name": "Dearer"}
    assert shelf.prices == [(900, "jpy", False), (1000, "jpy", True)]
    assert shelf.recorded["stripe_price_id"] != first
    assert shelf.database.execute(
        "select 1 from billing_private.stripe_prices where stripe_price_id = %s", (first,)
    ).fetchall(), "who pays the old price is still known"

    shelf.change("unit_amount = 900")
    assert actions(shelf.sync()) == ["restore_price", "record", "archive_price"]
    assert shelf.recorded["stripe_price_id"] == first
    assert shelf.sync() == []


def test_what_is_withdrawn_is_archived_and_what_returns_is_restored(shelf: Shelf) -> None:
    shelf.sync()
    shelf.change("is_active = false")

    assert actions(shelf.sync()) == ["archive_product", "archive_price"]
    assert shelf.sync() == []

    shelf.change("is_active = true")
    assert actions(shelf.sync())[:2] == ["update_product", "restore_price"]
    assert shelf.prices == [(900, "jpy", True)]


def test_parallel_syncs_make_one_of_each(shelf: Shelf) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shelf.sync(), range(4)))

    assert shelf.sync() == []
    assert shelf.prices == [(900, "jpy", True)]


def test_what_was_made_and_not_recorded_is_found_again(shelf: Shelf) -> None:
    shelf.sync()
    before = shelf.recorded
    shelf.database.execute(
        "delete from billing_private.stripe_catalogue where subject_id = %s", (shelf.subject_id,)
    )

    assert actions(shelf.sync()) == ["record"]

    assert shelf.recorded == before


def test_a_price_that_somebody_archives_at_stripe_is_no_longer_used_until_the_next_sync(
    shelf: Shelf, deliveries: Deliveries
) -> None:
    shelf.sync()
    price = shelf.recorded["stripe_price_id"]

    shelf.stripe.v1.prices.update(price, {"active": False})
    deliveries.await_quiet(price)

    assert shelf.recorded["stripe_price_id"] is None
    assert actions(shelf.sync()) == ["restore_price", "record"]


def test_a_pack_is_bought_while_nobody_has_told_us_yet_that_its_price_is_archived(
    shelf: Shelf, deliveries: Deliveries, buyer: Buyer
) -> None:
    shelf.sync()
    price = shelf.recorded["stripe_price_id"]
    shelf.stripe.v1.prices.update(price, {"active": False})
    deliveries.await_quiet(price)
    shelf.database.execute(
        "update billing_private.stripe_catalogue set stripe_price_id = %s where subject_id = %s",
        (price, shelf.subject_id),
    )

    session = buyer.buy(shelf.key)

    assert HostedPage(session["url"]).pay(CARD_PAYS).status_code in (302, 303)
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 100


def test_a_pack_in_another_currency_is_bought_at_its_own_price(shelf: Shelf, buyer: Buyer) -> None:
    shelf.sync()
    session = buyer.buy(shelf.key)

    assert HostedPage(session["url"]).pay(CARD_PAYS).status_code in (302, 303)

    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 100
    (payment,) = buyer.books.payments
    assert (payment["amount"], payment["currency"]) == (900, "jpy")
    assert (buyer.books.grants[0]["unit_cost"], buyer.books.grants[0]["currency"]) == (9, "jpy")


def test_the_sync_is_for_the_installations_own_jobs(shelf: Shelf, buyer: Buyer) -> None:
    assert buyer.workers.call("sync_catalogue", {}).status_code == 403
    assert buyer.workers.call("reconcile_stripe", {}).status_code == 403
