"""Who may open a checkout, for what, how often, and where it may lead."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from supabase import Client
from tests.conftest import User
from tests.money.conftest import Buyer
from tests.money.world import CARD_PAYS, PACK_500, Deliveries, HostedPage, Workers

ENTRY_POINTS = ("create_checkout_session", "create_portal_session")


def body_for(entry_point: str, organization_id: UUID) -> dict[str, Any]:
    """A right body for the entry point."""
    body = {"organization_id": str(organization_id)}
    return body | ({"package_key": PACK_500} if entry_point == "create_checkout_session" else {})


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("billing", 200), ("member", 403)])
def test_owner_admin_and_billing_may_open_it_and_a_member_may_not(
    buyer: Buyer,
    new_user: Callable[[], User],
    workers_as: Callable[[Client | None], Workers],
    database: psycopg.Connection[dict[str, Any]],
    entry_point: str,
    role: str,
    status: int,
) -> None:
    user = new_user()
    database.execute(
        "insert into billing.organization_members (organization_id, user_id, role) values (%s, %s, %s)",
        (buyer.organization_id, user.user_id, role),
    )

    answer = workers_as(user.client).call(entry_point, body_for(entry_point, buyer.organization_id))

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_a_foreign_organization_is_refused_with_the_same_answer_as_an_unknown_one(
    buyer: Buyer, new_buyer: Callable[[], Buyer], entry_point: str
) -> None:
    stranger = new_buyer().workers

    foreign = stranger.call(entry_point, body_for(entry_point, buyer.organization_id))
    unknown = stranger.call(entry_point, body_for(entry_point, uuid4()))

    assert foreign.status_code == unknown.status_code == 403
    assert foreign.json() == unknown.json()
    assert foreign.json()["message"] == "not_authorized"
    assert buyer.books.checkouts == []


def test_a_foreign_session_is_refused_with_the_same_answer_as_an_unknown_one(
    buyer: Buyer, new_buyer: Callable[[], Buyer]
) -> None:
    session = buyer.buy()
    stranger = new_buyer().workers

    foreign = stranger.return_page(session["session_id"])
    unknown = stranger.return_page("cs_test_unknown")

    assert foreign.status_code == unknown.status_code == 403
    assert foreign.json() == unknown.json()
    assert buyer.workers.return_page(session["session_id"]).status_code == 200


@pytest.mark.parametrize("entry_point", [*ENTRY_POINTS, "fulfil_checkout"])
def test_nobody_signed_in_is_401(workers_as: Callable[[Client | None], Workers], entry_point: str) -> None:
    answer = workers_as(None).call(entry_point, body_for(entry_point, uuid4()))

    assert (answer.status_code, answer.json()["message"]) == (401, "not_authenticated")


def test_a_double_click_opens_one_session(buyer: Buyer) -> None:
    with ThreadPoolExecutor(4) as pool:
        sessions = list(pool.map(lambda _: buyer.buy(), range(4)))

    again = buyer.buy()

    assert len({session["session_id"] for session in [*sessions, again]}) == 1
    assert again["is_reused"]
    assert again["url"] == sessions[0]["url"]
    assert len(buyer.books.checkouts) == 1


def test_another_pack_another_person_or_a_paid_session_is_another_purchase(
    buyer: Buyer,
    new_user: Callable[[], User],
    workers_as: Callable[[Client | None], Workers],
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    colleague = new_user()
    database.execute(
        "insert into billing.organization_members (organization_id, user_id, role) "
        "values (%s, %s, 'billing')",
        (buyer.organization_id, colleague.user_id),
    )
    first = buyer.buy()
    other_pack = buyer.buy("pack_100")
    other_person = workers_as(colleague.client).buy(buyer.organization_id)
    HostedPage(first["url"]).pay(CARD_PAYS)
    second = buyer.buy()

    ids = {session["session_id"] for session in (first, other_pack, other_person, second)}
    assert len(ids) == 4
    HostedPage(second["url"]).pay(CARD_PAYS)
    buyer.workers.return_page(second["session_id"])
    assert buyer.books.balance == 1000


def test_a_session_paid_before_we_heard_of_it_is_not_offered_again(
    buyer: Buyer, database: psycopg.Connection[dict[str, Any]]
) -> None:
    """The webhook is late, the buyer clicks again: the first purchase is booked, a second one opened."""
    first = buyer.buy()
    HostedPage(first["url"]).pay(CARD_PAYS)
    database.execute(
        "update billing.checkout_sessions set status = 'open', completed_at = null "
        "where stripe_session_id = %s",
        (first["session_id"],),
    )

    second = buyer.buy()

    assert second["session_id"] != first["session_id"]
    assert [checkout["status"] for checkout in buyer.books.checkouts] == ["complete", "open"]
    assert buyer.books.balance == 500


def test_parallel_checkouts_make_one_customer(buyer: Buyer, deliveries: Deliveries) -> None:
    packs = ["pack_100", "pack_500", "pack_2000", "pack_10000"] * 2
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(buyer.buy, packs))

    assert len({session["session_id"] for session in sessions}) == 4
    customers = deliveries.client.v1.customers.list({"email": buyer.user.email, "limit": 100}).data
    assert len(customers) == 1
    (row,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert row["stripe_customer_id"] == customers[0].id


def test_the_price_comes_from_our_table_and_marks_are_only_ours(buyer: Buyer, deliveries: Deliveries) -> None:
    refused = buyer.workers.call(
        "create_checkout_session",
        {
            "organization_id": str(buyer.organization_id),
            "package_key": PACK_500,
            "unit_amount": 1,
            "quantity": 9,
        },
    )
    assert (refused.status_code, refused.json()["message"]) == (422, "invalid_argument")

    session = deliveries.client.v1.checkout.sessions.retrieve(
        buyer.buy()["session_id"], {"expand": ["line_items"]}
    )

    assert (session.amount_total, session.currency, session.mode) == (1000, "usd", "payment")
    assert session.line_items is not None
    assert [line.quantity for line in session.line_items.data] == [1]
    (checkout,) = buyer.books.checkouts
    assert session.client_reference_id == str(checkout["id"])
    assert session.to_dict()["metadata"] == {
        "organization_id": str(buyer.organization_id),
        "checkout_session_id": str(checkout["id"]),
    }


@pytest.mark.parametrize(
    ("subject", "status", "slug"),
    [
        ({"package_key": "no_such_pack"}, 404, "not_found"),
        ({"package_id": str(uuid4())}, 404, "not_found"),
        ({"plan_id": str(uuid4())}, 404, "not_found"),
        (
            {"plan_id": "33333333-0000-4000-8000-000000000001"},
            404,
            "not_found",
        ),  # the free plan is not for sale
        ({}, 422, "invalid_argument"),
        ({"package_key": PACK_500, "plan_id": str(uuid4())}, 422, "invalid_argument"),
        ({"package_id": "500"}, 422, "invalid_argument"),
        ({"package_key": PACK_500, "ui_mode": "popup"}, 422, "invalid_argument"),
        ({"package_key": "pack\0"}, 422, "invalid_argument"),
        ({"package_key": PACK_500, "unit_amount": "1"}, 422, "invalid_argument"),
    ],
)
def test_what_is_not_for_sale_cannot_be_bought(
    refused_buyer: Buyer, subject: dict[str, str], status: int, slug: str
) -> None:
    answer = refused_buyer.workers.call(
        "create_checkout_session", {"organization_id": str(refused_buyer.organization_id), **subject}
    )

    assert (answer.status_code, answer.json()["message"]) == (status, slug)
    assert refused_buyer.books.checkouts == []


FOREIGN = [
    "https://evil.example/",
    "//evil.example/",
    "javascript:alert(1)",
    "http://127.0.0.1.evil.example/",
    "{frontend}.evil.example/",
    "{frontend}@evil.example/",
    "http://user@{host}/",
    "{frontend}\\@evil.example/",
    "{frontend}/\n//evil.example/",
    " {frontend}/",
    "/relative",
    "http://[::1/",
    "",
    "{frontend}/" + "a" * 2000,
]


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("argument", ["success_url", "cancel_url", "return_url"])
def test_redirects_never_leave_the_front_end(refused_buyer: Buyer, argument: str, url: str) -> None:
    frontend = refused_buyer.workers.stack.frontend_url
    host = frontend.partition("://")[2]
    entry_point = ENTRY_POINTS[argument == "return_url"]
    body = body_for(entry_point, refused_buyer.organization_id)

    answer = refused_buyer.workers.call(
        entry_point, {**body, argument: url.format(frontend=frontend, host=host)}
    )

    assert (answer.status_code, answer.json()["details"]) == (422, {"argument": argument})


def test_the_buyer_comes_back_where_they_asked_with_the_session_in_the_address(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    frontend = buyer.workers.stack.frontend_url
    usual = buyer.buy()
    asked = buyer.buy(success_url=f"{frontend}/settings?tab=billing#top", cancel_url=f"{frontend}/settings")

    read = deliveries.client.v1.checkout.sessions.retrieve
    placeholder = "{CHECKOUT_SESSION_ID}"
    assert read(usual["session_id"]).success_url == f"{frontend}/billing/return?session_id={placeholder}"
    assert (
        read(asked["session_id"]).success_url
        == f"{frontend}/settings?tab=billing&session_id={placeholder}#top"
    )
    assert read(asked["session_id"]).cancel_url == f"{frontend}/settings"


def test_the_portal_opens_for_the_customer_and_makes_one_when_there_is_none(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    first = buyer.workers.call("create_portal_session", {"organization_id": str(buyer.organization_id)})
    second = buyer.workers.call("create_portal_session", {"organization_id": str(buyer.organization_id)})

    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert first.json()["url"].startswith("http")
    customers = deliveries.client.v1.customers.list({"email": buyer.user.email}).data
    assert len(customers) == 1


def test_a_page_of_ours_may_call_and_a_foreign_page_may_not(buyer: Buyer) -> None:
    import httpx

    url = f"{buyer.workers.stack.workers_url}/workers/v1/create_checkout_session"
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    ours = httpx.options(url, headers={"Origin": buyer.workers.stack.frontend_url, **ask})
    foreign = httpx.options(url, headers={"Origin": "https://evil.example", **ask})

    assert ours.status_code == foreign.status_code == 204
    assert ours.headers["access-control-allow-origin"] == buyer.workers.stack.frontend_url
    assert "authorization" in ours.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in foreign.headers
