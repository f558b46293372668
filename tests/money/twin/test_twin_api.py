"""The API's common rules: keys, errors, idempotency, expansion, pages of lists, both transports."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from stripe_twin.app import twin_of
from stripe_twin.idempotency import Claim
from tests.money.twin.shop import KEY, Shop


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "You did not provide an API key"),
        ("nonsense", "Invalid API Key provided"),
        ("pk_test_publishable", "cannot be made with a publishable API key"),
        ("sk_live_real", "takes no live keys"),
        ("rk_live_real", "takes no live keys"),
    ],
)
def test_without_a_test_key_nothing_is_answered(shop: Shop, key: str | None, says: str) -> None:
    answer = shop.raw("GET", "/v1/customers", key=key)
    assert answer.status_code == 401
    assert says in answer.get_json()["error"]["message"]
    assert "real" not in answer.text


def test_a_key_may_come_as_basic_authentication_as_curl_sends_it(shop: Shop) -> None:
    answer = shop.app.test_client().get("/v1/customers", auth=(KEY, ""))
    assert answer.status_code == 200


def test_an_unknown_id_in_the_path_is_404_and_in_a_parameter_400(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.stripe.v1.customers.retrieve("cus_none")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (
        404,
        "resource_missing",
        "id",
    )
    assert missing.value.user_message == "No such customer: 'cus_none'"
    with pytest.raises(stripe.InvalidRequestError) as named:
        shop.session(customer="cus_none")
    assert (named.value.http_status, named.value.code, named.value.param) == (
        400,
        "resource_missing",
        "customer",
    )


def test_an_id_of_another_kind_is_not_found(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create()
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.stripe.v1.products.retrieve(customer.id)
    assert missing.value.http_status == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/customers/%00", None, 404),
        ("/v1/customers", "email=%00", 400),
        ("/v1/customers", "metadata[a]=x%00", 400),
        ("/v1/payment_intents", "amount=100&currency=zzz", 400),
        ("/v1/payment_intents", "amount=12341&currency=kwd", 400),
        ("/v1/payment_intents", "amount=1050&currency=isk", 400),
    ],
)
def test_what_cannot_be_is_refused_and_is_no_failure_of_the_twin(
    shop: Shop, path: str, body: str | None, status: int
) -> None:
    answer = shop.app.test_client().open(
        path,
        method="GET" if body is None else "POST",
        data=body,
        content_type="application/x-www-form-urlencoded",
        auth=(KEY, ""),
    )

    assert answer.status_code == status, answer.text
    assert answer.get_json()["error"]["type"] == "invalid_request_error"


def test_a_part_of_a_fraction_that_nobody_can_pay_is_not_refunded(shop: Shop) -> None:
    intent = shop.stripe.v1.payment_intents.create(
        {
            "amount": 12340,
            "currency": "kwd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "return_url": "https://x.test",
        }
    )
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 1234})
    assert shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 1230}).amount == 1230


def test_a_call_that_the_twin_lacks_says_so(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.stripe.v1.payouts.list()
    assert missing.value.http_status == 404
    assert "Unrecognized request URL (GET: /v1/payouts)" in str(missing.value)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Stripe-Version": "2024-06-20"}, "speaks API version 2026-10-28.endive only"),
        ({"Stripe-Account": "acct_1"}, "no connected accounts"),
    ],
)
def test_headers_that_it_cannot_honour_are_refused(shop: Shop, headers: dict[str, str], says: str) -> None:
    answer = shop.raw("GET", "/v1/customers", headers=headers)
    assert answer.status_code == 400
    assert says in answer.get_json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused(shop: Shop) -> None:
    answer = shop.raw("POST", "/v1/customers", data={"description": "x" * 1_100_000})
    assert answer.status_code == 413
    assert answer.get_json()["error"]["type"] == "invalid_request_error"


def test_a_failure_of_the_twin_itself_has_stripes_shape_and_undoes_everything(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe_twin.unit.UnitOfWork.emit", lambda *_: 1 / 0)
    with pytest.raises(stripe.APIError) as failure:
        shop.stripe.v1.customers.create({"email": "a@acme.test"})
    assert failure.value.http_status == 500
    assert shop.stripe.v1.customers.list().data == []


def test_everything_is_in_test_mode(shop: Shop) -> None:
    session = shop.session()
    shop.browser().pay(session)
    for _, _, body in shop.transport.calls:
        assert body.get("livemode", False) is False
    assert all(event.livemode is False for event in shop.stripe.v1.events.list().data)


# ---- idempotency -----------------------------------------------------------------------------------------


def test_the_same_key_and_parameters_replay_the_first_answer(shop: Shop) -> None:
    first = shop.stripe.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "customer:1"})
    assert "Idempotent-Replayed" not in shop.transport.headers
    again = shop.stripe.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "customer:1"})
    assert again.id == first.id
    assert shop.transport.headers["Idempotent-Replayed"] == "true"
    assert shop.transport.headers["Idempotency-Key"] == "customer:1"
    assert len(shop.stripe.v1.customers.list().data) == 1
    assert shop.event_types() == ["customer.created"]


def test_the_same_key_with_other_parameters_or_another_path_is_refused(shop: Shop) -> None:
    shop.stripe.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError) as refusal:
        shop.stripe.v1.customers.create({"email": "b@acme.test"}, {"idempotency_key": "k"})
    assert refusal.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        shop.stripe.v1.products.create({"name": "x"}, {"idempotency_key": "k"})


def test_keys_of_two_accounts_are_apart(shop: Shop) -> None:
    first = shop.raw("POST", "/v1/customers", headers={"Idempotency-Key": "k"})
    other = shop.raw("POST", "/v1/customers", key="sk_test_other", headers={"Idempotency-Key": "k"})
    assert first.get_json()["id"] != other.get_json()["id"]


def test_a_decline_is_replayed_and_leaves_one_charge(shop: Shop) -> None:
    params: Any = {
        "amount": 900,
        "currency": "usd",
        "confirm": True,
        "payment_method": "pm_card_visa_chargeDeclined",
    }
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refusal:
            shop.stripe.v1.payment_intents.create(params, {"idempotency_key": "topup:1"})
        assert refusal.value.code == "card_declined"
    assert shop.transport.headers["Idempotent-Replayed"] == "true"
    assert len(shop.stripe.v1.charges.list().data) == 1


def test_a_refused_request_does_not_use_up_its_key(shop: Shop) -> None:
    for params in ({"email": "a@acme.test", "bogus": "1"}, {"payment_method": "pm_none"}):
        with pytest.raises(stripe.InvalidRequestError):
            shop.stripe.v1.customers.create(params, {"idempotency_key": "k"})  # type: ignore[arg-type]
    made = shop.stripe.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "k"})
    assert [customer.id for customer in shop.stripe.v1.customers.list().data] == [made.id]


def test_a_key_in_use_answers_409(shop: Shop) -> None:
    with twin_of(shop.app).unit() as unit:
        claim = Claim.of("busy", KEY, "POST", "/v1/customers", {})
        assert claim.earlier_answer(unit, "/v1/customers") is None
        answer = shop.raw("POST", "/v1/customers", headers={"Idempotency-Key": "busy"})
    assert answer.status_code == 409
    assert answer.get_json()["error"]["code"] == "idempotency_key_in_use"
    assert shop.raw("POST", "/v1/customers", headers={"Idempotency-Key": "busy"}).status_code == 200


def test_twenty_parallel_requests_with_one_key_make_one_object(shop: Shop) -> None:
    client = stripe.StripeClient(KEY, http_client=shop.transport, max_network_retries=8)
    together = threading.Barrier(20)

    def create(_: int) -> str:
        together.wait()
        return client.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "one"}).id

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(create, range(20)))) == 1
    assert len(client.v1.customers.list().data) == 1


def test_a_key_of_256_characters_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.IdempotencyError):
        shop.stripe.v1.customers.create({}, {"idempotency_key": "k" * 256})


# ---- expansion -------------------------------------------------------------------------------------------


def test_ids_expand_also_nested_and_in_lists(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test"})
    session = shop.session(customer=customer.id)
    shop.browser().pay(session)
    expand: Any = {"expand": ["customer", "payment_intent.latest_charge.customer", "line_items"]}
    whole = shop.stripe.v1.checkout.sessions.retrieve(session.id, expand)
    assert isinstance(whole.customer, stripe.Customer)
    assert isinstance(whole.payment_intent, stripe.PaymentIntent)
    assert isinstance(whole.payment_intent.latest_charge, stripe.Charge)
    assert isinstance(whole.payment_intent.latest_charge.customer, stripe.Customer)
    assert whole.line_items is not None
    assert whole.line_items.data[0].amount_total == 1900
    listed = shop.stripe.v1.checkout.sessions.list({"expand": ["data.payment_intent"]})
    assert isinstance(listed.data[0].payment_intent, stripe.PaymentIntent)
    assert shop.reload(session).customer == customer.id


@pytest.mark.parametrize("path", ["id", "status", "bogus", "payment_intent.bogus", "amount_total.more"])
def test_what_cannot_be_expanded_is_refused(shop: Shop, path: str) -> None:
    session = shop.session()
    shop.browser().pay(session)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": [path]})


def test_expansion_ends_at_four_levels(shop: Shop) -> None:
    session = shop.session()
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["a.b.c.d.e"]})


# ---- lists -----------------------------------------------------------------------------------------------


def test_lists_run_newest_first_and_page_in_both_directions(shop: Shop) -> None:
    ids = [shop.stripe.v1.customers.create({"email": f"{n}@acme.test"}).id for n in range(7)][::-1]
    first = shop.stripe.v1.customers.list({"limit": 3})
    assert ([one.id for one in first.data], first.has_more) == (ids[:3], True)
    second = shop.stripe.v1.customers.list({"limit": 3, "starting_after": ids[2]})
    assert [one.id for one in second.data] == ids[3:6]
    back = shop.stripe.v1.customers.list({"limit": 2, "ending_before": ids[3]})
    assert ([one.id for one in back.data], back.has_more) == (ids[1:3], True)
    assert [one.id for one in shop.stripe.v1.customers.list({"limit": 2}).auto_paging_iter()] == ids


def test_events_page_backwards_from_the_last_one_seen_oldest_first(shop: Shop) -> None:
    for number in range(5):
        shop.stripe.v1.customers.create({"email": f"{number}@acme.test"})
    events = [event.id for event in shop.stripe.v1.events.list().data]
    newer = shop.stripe.v1.events.list({"ending_before": events[-1], "limit": 2})
    assert [event.id for event in newer.auto_paging_iter()] == events[:-1][::-1]


def test_lists_filter_by_field_and_by_time(shop: Shop) -> None:
    customers = shop.stripe.v1.customers
    wanted = customers.create({"email": "a@acme.test"})
    customers.create({"email": "b@acme.test"})
    assert [one.id for one in customers.list({"email": "a@acme.test"}).data] == [wanted.id]
    assert customers.list({"created": {"gt": wanted.created + 100}}).data == []
    assert len(customers.list({"created": {"gte": wanted.created, "lt": wanted.created + 100}}).data) == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "starting_after=cus_none"])
def test_a_page_that_cannot_be_is_refused(shop: Shop, query: str) -> None:
    assert shop.raw("GET", f"/v1/customers?{query}").status_code == 400


def test_line_items_are_listed_in_the_order_given(shop: Shop) -> None:
    prices = [shop.price(100 * n, f"Pack {n}").id for n in (1, 2, 3)]
    session = shop.session(line_items=[{"price": price, "quantity": 1} for price in prices])
    lines = shop.stripe.v1.checkout.sessions.line_items
    assert [line.description for line in lines.list(session.id).data] == ["Pack 1", "Pack 2", "Pack 3"]
    paged = lines.list(session.id, {"limit": 1}).auto_paging_iter()
    assert [line.description for line in paged] == ["Pack 1", "Pack 2", "Pack 3"]


# ---- catalogue -------------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_says_what_was_before(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test", "metadata": {"a": "1", "b": "2"}})
    changed = shop.stripe.v1.customers.update(customer.id, {"name": "Acme", "metadata": {"a": "", "c": "3"}})
    assert changed.email == "a@acme.test"
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    event = shop.raw("GET", "/v1/events?limit=1").get_json()["data"][0]
    assert event["type"] == "customer.updated"
    assert event["data"]["previous_attributes"] == {"metadata": {"a": "1", "b": "2"}, "name": None}
    shop.stripe.v1.customers.update(customer.id, {"name": "Acme"})
    assert shop.event_types() == ["customer.created", "customer.updated"]


def test_a_deleted_customer_is_shown_as_deleted_and_takes_nothing_more(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"payment_method": "pm_card_visa"})
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    shop.stripe.v1.customers.delete(customer.id)
    assert shop.stripe.v1.customers.retrieve(customer.id).deleted is True
    assert shop.stripe.v1.customers.list().data == []
    assert shop.stripe.v1.payment_methods.retrieve(method.id).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        shop.session(customer=customer.id)


def test_a_lookup_key_names_one_active_price(shop: Shop) -> None:
    first = shop.price(900, lookup_key="pack_500")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        shop.price(950, lookup_key="pack_500")
    second = shop.price(950, lookup_key="pack_500", transfer_lookup_key=True)
    assert [one.id for one in shop.stripe.v1.prices.list({"lookup_keys": ["pack_500"]}).data] == [second.id]
    assert shop.stripe.v1.prices.retrieve(first.id).lookup_key is None


def test_a_product_with_prices_stays(shop: Shop) -> None:
    price = shop.price(900)
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.products.delete(str(price.product))


# ---- asynchronous ----------------------------------------------------------------------------------------


def test_the_library_s_asynchronous_half_works_too(shop: Shop) -> None:
    async def work() -> tuple[str, str]:
        customer = await shop.stripe.v1.customers.create_async({"email": "async@acme.test"})
        again = await shop.stripe.v1.customers.retrieve_async(customer.id)
        return customer.id, again.id

    made, found = asyncio.run(work())
    assert made == found
