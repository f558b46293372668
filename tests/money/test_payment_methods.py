"""Saved cards, end to end: set up on Stripe's page, mirrored, preferred, removed."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from supabase import Client
from tests.money.conftest import Buyer
from tests.money.saved_cards import CardHolder, card_holder
from tests.money.world import CARD_PAYS, Deliveries, HostedPage, Workers


@pytest.fixture
def holder(buyer: Buyer, deliveries: Deliveries) -> CardHolder:
    """An owner with a Stripe customer and no card."""
    return card_holder(buyer, deliveries)


def set_up(holder: CardHolder, card: str = CARD_PAYS) -> str:
    """Save a card on Stripe's page; returns the session's id."""
    buyer = holder.buyer
    answer = buyer.workers.call("create_setup_session", {"organization_id": str(buyer.organization_id)})
    assert answer.status_code == 200, answer.text
    assert HostedPage(answer.json()["url"]).pay(card).status_code in (302, 303)
    return str(answer.json()["session_id"])


def act(holder: CardHolder, name: str, card_id: object, workers: Workers | None = None) -> httpx.Response:
    """Prefer or remove a card."""
    body = {"organization_id": str(holder.buyer.organization_id), "payment_method_id": str(card_id)}
    return (workers or holder.buyer.workers).call(name, body)


def test_a_card_saved_on_stripes_page_is_the_default_by_webhook_alone(holder: CardHolder) -> None:
    set_up(holder)
    holder.settle()

    (card,) = holder.cards
    assert (card["brand"], card["last4"], card["is_default"]) == ("visa", "4242", True)
    assert holder.buyer.books.balance == 0
    assert holder.buyer.books.payments == []


def test_the_return_page_makes_the_new_card_the_default_here_and_at_stripe(holder: CardHolder) -> None:
    holder.save()
    session_id = set_up(holder, "5555555555554444")

    body = {"organization_id": str(holder.buyer.organization_id), "session_id": session_id}
    answer = holder.buyer.workers.call("finish_setup_session", body).json()
    holder.settle()

    assert (answer["brand"], answer["is_default"]) == ("mastercard", True)
    assert [(card["brand"], card["is_default"]) for card in holder.cards] == [
        ("visa", False),
        ("mastercard", True),
    ]
    invoicing = holder.stripe.v1.customers.retrieve(holder.customer_id).invoice_settings
    assert invoicing is not None
    assert invoicing.default_payment_method == holder.cards[1]["stripe_payment_method_id"]


def test_a_session_in_which_nothing_was_saved_or_that_is_anothers_saves_nothing(
    holder: CardHolder, new_buyer: Callable[[], Buyer]
) -> None:
    opened = holder.buyer.workers.call(
        "create_setup_session", {"organization_id": str(holder.buyer.organization_id)}
    ).json()["session_id"]
    saved = set_up(holder)
    other = new_buyer()

    unfinished = holder.buyer.workers.call(
        "finish_setup_session",
        {"organization_id": str(holder.buyer.organization_id), "session_id": opened},
    )
    stolen = other.workers.call(
        "finish_setup_session", {"organization_id": str(other.organization_id), "session_id": saved}
    )
    unknown = other.workers.call(
        "finish_setup_session", {"organization_id": str(other.organization_id), "session_id": "cs_unknown"}
    )
    foreign = other.workers.call(
        "finish_setup_session",
        {"organization_id": str(holder.buyer.organization_id), "session_id": saved},
    )

    assert [each.status_code for each in (unfinished, stolen, unknown, foreign)] == [404, 404, 404, 403]
    assert other.books.rows("select id from billing.payment_methods where organization_id = %s") == []


def test_removing_the_default_leaves_none_and_rests_automatic_topup(holder: CardHolder) -> None:
    holder.save()
    holder.save("pm_card_mastercard")
    holder.agree(threshold=10, amount=100)

    answer = act(holder, "detach_payment_method", holder.cards[0]["id"])
    holder.settle()

    assert (answer.status_code, answer.json()["is_default"]) == (200, False)
    assert [(card["detached_at"] is None, card["is_default"]) for card in holder.cards] == [
        (False, False),
        (True, False),
    ]
    assert holder.settings["paused_reason"] == "no_payment_method"
    assert act(holder, "detach_payment_method", holder.cards[0]["id"]).status_code == 404
    assert act(holder, "set_default_payment_method", holder.cards[1]["id"]).json()["is_default"] is True
    assert holder.settings["paused_reason"] is None


def test_what_happens_at_stripes_own_pages_is_mirrored(holder: CardHolder) -> None:
    first, second = holder.save(), holder.save("pm_card_mastercard")

    holder.stripe.v1.customers.update(
        holder.customer_id, {"invoice_settings": {"default_payment_method": second}}
    )
    holder.settle()
    assert [card["is_default"] for card in holder.cards] == [False, True]

    holder.stripe.v1.payment_methods.detach(first)
    holder.settle()
    assert [card["detached_at"] is None for card in holder.cards] == [False, True]


def test_cards_are_the_business_of_those_who_manage_billing(
    holder: CardHolder,
    new_buyer: Callable[[], Buyer],
    workers_as: Callable[[Client | None], Workers],
) -> None:
    holder.save()
    (card,) = holder.cards

    for name in ("set_default_payment_method", "detach_payment_method"):
        assert act(holder, name, card["id"], new_buyer().workers).status_code == 403
        assert act(holder, name, card["id"], workers_as(None)).status_code == 401
    assert holder.cards[0]["detached_at"] is None
