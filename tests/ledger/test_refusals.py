"""Every refusal of the ledger over HTTP: status, slug, and details that a program can act on."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest, User

from .api import LedgerApi
from .conftest import Story, day


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    return new_organization(credits=100)


@pytest.fixture
def owner_api(stack: StackUnderTest, organization: Organization) -> LedgerApi:
    return _api_of(stack, organization.owner)


def _api_of(stack: StackUnderTest, user: User) -> LedgerApi:
    session = user.client.auth.get_session()
    assert session is not None
    return LedgerApi(
        stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {session.access_token}"}
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "tb_test_",
        "tb_test_0000000000000000_" + "0" * 64 + "_00000000",
        "x" * 5000,
        "tb_test_%00",
        "sb_secret_x",
    ],
    ids=["empty", "truncated", "unknown", "long", "odd", "other-kind"],
)
def test_a_wrong_agent_key_is_401_whatever_is_wrong(stack: StackUnderTest, key: str) -> None:
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": key})
    assert agent.consume(1).refused(401, "agent_key_invalid") == {}


def test_without_a_key_an_anonymous_caller_may_not_spend(
    stack: StackUnderTest, organization: Organization
) -> None:
    nobody = LedgerApi(stack.supabase_url, stack.publishable_key)
    nobody.consume(1, organization_id=str(organization.organization_id)).refused(403, "not_authorized")


def test_a_foreign_and_an_unknown_organization_have_one_answer(
    owner_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    foreign, unknown = str(new_organization(credits=5).organization_id), str(uuid4())
    answers = [owner_api.consume(1, organization_id=which) for which in (foreign, unknown)]
    assert [answer.refused(403, "not_authorized") for answer in answers] == [{}, {}]
    assert answers[0].body == answers[1].body


def test_insufficient_credits_say_what_is_missing_and_where_to_get_it(
    owner_api: LedgerApi, organization: Organization
) -> None:
    details = owner_api.consume(130).refused(402, "insufficient_credits")
    topup_url = details.pop("topup_url")
    assert details == {"required": 130, "available": 100, "shortfall": 30, "balance": 100, "held": 0}
    assert topup_url.startswith("http")
    assert str(organization.organization_id) in topup_url


def test_a_restricted_organization_says_why(
    owner_api: LedgerApi, organization: Organization, database: psycopg.Connection[dict[str, object]]
) -> None:
    database.execute(
        "update billing.organizations set restricted_reason = 'past_due' where organization_id = %s",
        (organization.organization_id,),
    )
    assert owner_api.consume(1).refused(402, "billing_restricted") == {"reason": "past_due"}
    answer = owner_api.call("check_credits", agent_type="TestAgent", action="test", amount=1).accepted()
    assert (answer["allowed"], answer["reason"]) == (False, "billing_restricted")


def test_an_action_without_a_price_is_unknown(owner_api: LedgerApi) -> None:
    details = owner_api.call("consume_credits", agent_type="QAAgent", action="sing").refused(
        422, "unknown_action"
    )
    assert details["argument"] == "action"


def test_only_a_caller_priced_action_takes_an_amount(owner_api: LedgerApi) -> None:
    call = owner_api.call("consume_credits", agent_type="QAAgent", action="answer_question", amount=1)
    assert call.refused(422, "invalid_argument") == {"argument": "amount"}


@pytest.mark.parametrize("amount", [-5, 0, None, "NaN", "Infinity", "-Infinity", "1e30", "1e400"])
def test_an_amount_is_finite_and_positive(owner_api: LedgerApi, amount: object) -> None:
    assert owner_api.consume(amount).refused(422, "invalid_amount") == {"argument": "amount"}


@pytest.mark.parametrize(
    "quantities",
    [{"input_tokens": -1}, {"tokens": 1}, {"input_tokens": "12"}, [1], 5, {"input_tokens": 1e15}],
)
def test_quantities_are_priced_finite_numbers(owner_api: LedgerApi, quantities: object) -> None:
    call = owner_api.call(
        "consume_credits", agent_type="QAAgent", action="answer_question", quantities=quantities
    )
    assert call.refused(422, "invalid_argument")["argument"] == "quantities"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("idempotency_key", ""),
        ("idempotency_key", "k" * 256),
        ("idempotency_key", "k" * 10_000),
        ("idempotency_key", "a\nb"),
        ("run_id", "r" * 256),
    ],
)
def test_names_are_short_and_printable(owner_api: LedgerApi, argument: str, value: str) -> None:
    assert owner_api.consume(1, **{argument: value}).refused(422, "invalid_argument") == {
        "argument": argument
    }


def test_metadata_is_an_object_of_at_most_8_kb(owner_api: LedgerApi) -> None:
    assert owner_api.consume(1, metadata={"text": "x" * 9000}).refused(413, "metadata_too_large") == {
        "max_bytes": 8192
    }
    assert owner_api.consume(1, metadata=[1]).refused(422, "invalid_argument") == {"argument": "metadata"}
    owner_api.consume(1, metadata={"text": "x" * 8000}).accepted()


def test_a_member_of_several_organizations_names_one(
    stack: StackUnderTest, service_api: LedgerApi, organization: Organization, owner_api: LedgerApi
) -> None:
    owner_id = str(organization.owner.user_id)
    service_api.call("create_organization", name="Second", owner_user_id=owner_id).accepted()
    assert owner_api.consume(1).refused(422, "invalid_argument") == {"argument": "organization_id"}
    owner_api.consume(1, organization_id=str(organization.organization_id)).accepted()


def test_a_busy_lock_is_503_and_the_same_key_succeeds_later(
    owner_api: LedgerApi, organization: Organization, database: psycopg.Connection[dict[str, object]]
) -> None:
    row = database.execute(
        "select ledger_number from billing.organizations where organization_id = %s",
        (organization.organization_id,),
    ).fetchone()
    assert row is not None
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(%s)", (row["ledger_number"],))
        owner_api.consume(1, idempotency_key="patient").refused(503, "busy")
    assert not owner_api.consume(1, idempotency_key="patient").accepted()["replayed"]


def test_consuming_by_get_is_refused_and_checking_by_get_works(
    stack: StackUnderTest, owner_api: LedgerApi, organization: Organization
) -> None:
    path = "agent_type=TestAgent&action=test&amount=5"
    assert owner_api.select(f"rpc/consume_credits?{path}").status == 405
    assert owner_api.select(f"rpc/check_credits?{path}").accepted()["allowed"] is True


def test_check_credits_charges_nothing_and_says_what_would_happen(story: Story) -> None:
    story.grant(10)
    arguments = {"agent_type": "TestAgent", "action": "test", "organization_id": story.organization_id}
    enough = story.api.call("check_credits", amount=10, **arguments).accepted()
    assert (enough["allowed"], enough["amount"], enough["available"], enough["reason"]) == (
        True,
        10,
        10,
        None,
    )
    short = story.api.call("check_credits", amount="10.000001", **arguments).accepted()
    assert (short["allowed"], short["reason"]) == (False, "insufficient_credits")
    assert story.balance()["balance"] == 10
    assert len(story.entries()) == 1


def test_a_grant_is_refused_for_bad_input_and_booked_never_in_part(story: Story) -> None:
    grant = {"organization_id": story.organization_id, "amount": 5, "source": "promotion"}
    for change, slug in (
        ({"amount": 0}, "invalid_amount"),
        ({"amount": "NaN"}, "invalid_amount"),
        ({"amount": "0.0000001"}, "invalid_amount"),
        ({"source": "gift"}, "invalid_argument"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, "invalid_argument"),
        ({"agent_types": []}, "invalid_argument"),
    ):
        story.api.call("grant_credits", **{**grant, **change}).refused(422, slug)
    story.api.call("grant_credits", **{**grant, "organization_id": str(uuid4())}).refused(404, "not_found")
    assert story.entries() == []


def test_a_reference_with_another_amount_is_a_conflict(story: Story) -> None:
    story.grant(5, source_reference="r")
    other = story.api.call(
        "grant_credits",
        organization_id=story.organization_id,
        amount=6,
        source="promotion",
        source_reference="r",
    )
    other.refused(409, "idempotency_conflict")
    assert story.balance()["balance"] == 5


def test_what_no_column_could_hold_is_an_invalid_amount(story: Story) -> None:
    """More decimals than are kept, and more than 1e14: refused by name, never rounded into something else."""
    limit = {"subject_type": "run", "subject_id": "r", "window": "day"}
    organization = {"organization_id": story.organization_id}
    code = {"code": f"CODE-{uuid4().hex}".upper()}
    for function, argument, value, arguments in (
        ("set_credit_limit", "amount", "0.0000004", {**organization, **limit}),
        ("set_credit_limit", "amount", "99999999999999.9999999", {**organization, **limit}),
        ("create_agent_key", "spend_limit", "0.0000004", {**organization, "name": "small"}),
        ("create_promotion_code", "credits", "0.0000001", code),
        ("create_promotion_code", "credits", "99999999999999.9999999", code),
        ("set_agent_action_cost", "credit_cost", "1e-21", {"agent_type": "Small", "action": "a"}),
        (
            "grant_trial",
            "amount",
            "0.0000001",
            {**organization, "ends_at": "2031-01-15T00:00Z", "reference": "t"},
        ),
    ):
        details = story.api.call(function, **{argument: value}, **arguments).refused(422, "invalid_amount")
        assert details["argument"] == argument

    most = "99999999999999.999999"
    story.grant(most)
    grant = {**organization, "amount": most, "source": "promotion"}
    assert story.api.call("grant_credits", **grant).refused(422, "invalid_amount") == {"argument": "amount"}
    bulk = story.api.call("grant_credits_bulk", batch_key=str(uuid4()), grants=[grant])
    assert bulk.refused(422, "invalid_amount") == {"argument": "amount", "row": 0}
    adjust = {**organization, "delta": 1, "reason": "more", "idempotency_key": "more"}
    assert story.api.call("adjust_credits", **adjust).refused(422, "invalid_amount") == {"argument": "delta"}

    hold_id = story.api.call(
        "hold_credits", agent_type="TestAgent", action="test", amount=5, **organization
    ).accepted()["hold_id"]
    for function, argument in (("capture_hold", "amount"), ("extend_hold", "additional")):
        call = {"hold_id": hold_id, argument: "99999999999999.9999999"}
        details = story.api.call(function, **call).refused(422, "invalid_amount")
        assert details == {"argument": argument}
    story.api.call("release_hold", hold_id=hold_id).accepted()


def test_a_price_begins_at_a_finite_instant(story: Story) -> None:
    """A version that never begins would be the later version that every other one is refused for."""
    price = {"agent_type": f"Agent {uuid4()}", "action": "work", "credit_cost": 1}
    for instant in ("infinity", "-infinity"):
        call = story.api.call("set_agent_action_cost", **price, effective_from=instant)
        assert call.refused(422, "invalid_argument") == {"argument": "effective_from"}
    story.api.call("set_agent_action_cost", **price).accepted()


def test_a_promotion_code_names_what_is_wrong_with_it(story: Story) -> None:
    code = {"code": f"CODE-{uuid4().hex}".upper(), "credits": 5}
    for argument, value in (
        ("code", "a b"),
        ("max_redemptions", 0),
        ("credit_expiry", "0 days"),
        ("credit_expiry", "1000001 years"),
    ):
        call = story.api.call("create_promotion_code", **{**code, argument: value})
        assert call.refused(422, "invalid_argument") == {"argument": argument}


def test_grants_to_come_fit_beside_what_there_is(story: Story) -> None:
    """A grant that could not begin would stop the ledger at the instant at which it falls due."""
    half = "60000000000000"
    story.grant(half, effective_at=day(1))
    grant = {"organization_id": story.organization_id, "amount": half, "source": "promotion"}
    for more in ({"effective_at": day(2).isoformat()}, {}):
        details = story.api.call("grant_credits", **grant, **more).refused(422, "invalid_amount")
        assert details == {"argument": "amount"}
    story.grant(1)
    story.go_to(day(3))
    assert story.balance()["balance"] == 60000000000001
