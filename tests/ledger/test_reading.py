"""Reading is right at once and in any zone, and the work behind it costs what is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import Story, day

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def undone(database: Database) -> Iterator[Database]:
    """A session whose work is rolled back at the end."""
    with database.transaction(force_rollback=True):
        yield database


def jobs(database: Database, now: datetime | None = None) -> dict[str, tuple[int, int]]:
    """Run the jobs; what each processed and where it failed."""
    rows = database.execute("select * from billing.run_due_jobs(%s)", (now,)).fetchall()
    return {row["job"]: (row["processed"], row["failed"]) for row in rows}


def series(story: Story, since: datetime, until: datetime, **more: object) -> list[tuple[str, Any]]:
    """Return the buckets that have usage: where they begin, in UTC, and how much."""
    rows = story.api.call(
        "get_usage_timeseries",
        organization_id=story.organization_id,
        **{"from": since.isoformat(), "to": until.isoformat()},
        **more,
    ).accepted()
    starts = [datetime.fromisoformat(row["bucket_start"]).astimezone(UTC) for row in rows]
    return [(f"{start:%m-%d %H:%M}", row["amount"]) for start, row in zip(starts, rows, strict=True)]


# Scenario 61 -------------------------------------------------------------------------------------------


def test_s61_a_grant_unblocks_in_its_own_transaction(
    new_organization: Callable[..., Organization], stack: StackUnderTest, database: Database
) -> None:
    organization = new_organization()
    organization_id = str(organization.organization_id)
    token = organization.owner.client.auth.get_session().access_token  # type: ignore[union-attr]
    browser = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    read = "select balance, is_blocked from billing.credit_balances where organization_id = %s"

    def page() -> tuple[Any, Any]:
        answer = browser.call("get_credit_balance", organization_id=organization_id).accepted()
        return answer["balance"], answer["is_blocked"]

    assert page() == (0, True)
    with database.transaction():
        database.execute("select billing.grant_credits(%s, 100, 'promotion')", (organization_id,))
        inside = database.execute(read, (organization_id,)).fetchone()
        assert inside == {"balance": 100, "is_blocked": False}
        assert page() == (0, True)  # nobody else sees it before it is committed
    assert page() == (100, False)
    rows = browser.select(f"credit_balances?organization_id=eq.{organization_id}").accepted()
    assert (rows[0]["balance"], rows[0]["is_blocked"]) == (100, False)


# Zones -------------------------------------------------------------------------------------------------


def test_days_of_23_and_25_hours_are_whole_days(story: Story) -> None:
    """New York, 2031: clocks go forward on 9 March and back on 2 November."""
    story.grant(100)
    for at, amount in (
        ("2031-03-09T04:59:59+00:00", 1),  # still the 8th
        ("2031-03-09T05:00:00+00:00", 2),
        ("2031-03-10T03:59:59+00:00", 3),  # 23 hours later, still the 9th
        ("2031-03-10T04:00:00+00:00", 4),
        ("2031-11-02T04:00:00+00:00", 5),
        ("2031-11-03T04:59:59+00:00", 6),  # 25 hours later, still the 2nd
        ("2031-11-03T05:00:00+00:00", 7),
    ):
        story.go_to(datetime.fromisoformat(at))
        story.consume(amount).accepted()
    expected = [
        ("03-08 05:00", 1),
        ("03-09 05:00", 5),
        ("03-10 04:00", 4),
        ("11-02 04:00", 11),
        ("11-03 05:00", 7),
    ]
    asked = {"bucket": "day", "timezone": "America/New_York"}
    assert series(story, day(0), day(330), **asked) == expected
    story.api.call("run_due_jobs").accepted()
    assert series(story, day(0), day(330), **asked) == expected


def test_a_day_whose_midnight_comes_twice_begins_with_the_first(story: Story) -> None:
    """Havana, 2031-11-02: at 01:00 the clocks go back to midnight."""
    story.grant(100)
    for at, amount in (
        ("2031-11-02T03:59:00+00:00", 1),
        ("2031-11-02T04:30:00+00:00", 2),  # the first 00:30
        ("2031-11-02T05:30:00+00:00", 3),  # the second
        ("2031-11-03T05:00:00+00:00", 4),
    ):
        story.go_to(datetime.fromisoformat(at))
        story.consume(amount).accepted()
    expected = [("11-01 04:00", 1), ("11-02 04:00", 5), ("11-03 05:00", 4)]
    assert series(story, day(300), day(310), bucket="day", timezone="America/Havana") == expected
    story.api.call("run_due_jobs").accepted()
    assert series(story, day(300), day(310), bucket="day", timezone="America/Havana") == expected


def test_hours_of_a_zone_of_half_hours_are_its_own(story: Story) -> None:
    """Lord Howe is at +10:30, and at +11 in summer."""
    story.grant(100)
    for minutes, amount in ((20, 1), (29, 2), (30, 4), (89, 8)):
        story.go_to(day(150) + timedelta(minutes=minutes))
        story.consume(amount).accepted()
    story.api.call("run_due_jobs").accepted()
    asked = {"bucket": "hour", "timezone": "Australia/Lord_Howe"}
    expected = [("05-30 23:30", 3), ("05-31 00:30", 12)]
    assert series(story, day(150), day(151), **asked) == expected
    since = day(150) + timedelta(minutes=29)
    assert series(story, since, day(151), **asked) == [("05-30 23:30", 2), expected[1]]


def test_a_range_that_begins_and_ends_within_an_hour_is_exact_after_folding(story: Story) -> None:
    story.grant(1000)
    for minutes, amount in ((1, 1), (2, 2), (70, 4), (120, 8), (1500, 16), (2881, 32), (2882, 64)):
        story.go_to(day(0) + timedelta(minutes=minutes))
        story.consume(amount, run_id=f"run-{amount}").accepted()
    story.api.call("run_due_jobs").accepted()
    since, until = day(0) + timedelta(minutes=2), day(0) + timedelta(minutes=2882)
    for more in ({}, {"group_by": "run"}):
        rows = series(story, since, until, **more)
        assert sum(amount for _, amount in rows) == 2 + 4 + 8 + 16 + 32
        assert [start for start, _ in rows] == sorted(start for start, _ in rows)


def test_a_member_sees_only_their_own_runs(
    new_organization: Callable[..., Organization], new_user: Callable[[], Any], stack: StackUnderTest
) -> None:
    organization, member = new_organization(credits=100), new_user()
    organization_id = str(organization.organization_id)
    invitation: Any = (
        organization.owner.client.rpc(
            "invite_member", {"organization_id": organization_id, "email": member.email, "role": "member"}
        )
        .execute()
        .data
    )
    member.client.rpc("accept_invitation", {"token": invitation["token"]}).execute()
    service = LedgerApi(stack.supabase_url, stack.secret_key)
    service.consume(5, organization_id=organization_id, run_id="theirs").accepted()
    token = member.client.auth.get_session().access_token
    mine = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    mine.consume(3, organization_id=organization_id, run_id="mine").accepted()
    now = datetime.now(UTC)
    window = {"from": (now - timedelta(days=2)).isoformat(), "to": (now + timedelta(days=1)).isoformat()}
    for _ in range(2):  # from entries, then from rollups
        rows = mine.call(
            "get_usage_breakdown", organization_id=organization_id, group_by="run", **window
        ).accepted()
        assert [(row["group_key"], row["amount"]) for row in rows] == [("mine", 3)]
        service.call("run_due_jobs").accepted()


# Jobs --------------------------------------------------------------------------------------------------


@pytest.mark.serial
def test_a_job_leaves_a_locked_ledger_alone_and_settles_the_others(
    story: Story, service_api: LedgerApi, new_organization: Callable[..., Organization], database: Database
) -> None:
    other = Story(service_api, new_organization())
    other.go_to(day(0))
    for each in (story, other):
        each.grant(10, expires_at=day(1))
        each.set_clock_only(day(2), database)

    def expiries(each: Story) -> int:
        return sum(entry["kind"] == "expire" for entry in each.entries())

    with database.transaction():
        database.execute("select billing_private.lock_organization(%s)", (story.organization_id,))
        service_api.call("run_due_jobs").accepted()
        assert (expiries(story), expiries(other)) == (0, 1)
    service_api.call("run_due_jobs").accepted()
    assert (expiries(story), expiries(other)) == (1, 1)


@pytest.mark.serial
def test_a_job_that_fails_stops_no_other(story: Story, undone: Database) -> None:
    story.grant(10, expires_at=day(1))
    story.consume(1).accepted()
    story.set_clock_only(day(2), undone)
    undone.execute(
        "alter table billing_private.credit_usage_watermarks add constraint broken check (false) not valid"
    )
    done = jobs(undone)
    assert done["fold_usage"][1] >= 1
    assert done["settle_organizations"] >= (1, 0)
    assert done["forget_quiet_organizations"][1] == 0
    row = undone.execute("select * from billing_private.run_job('no such job', now())").fetchone()
    assert row == {"job": "no such job", "processed": 0, "failed": 1}


def test_usage_up_to_now_is_read_from_totals(story: Story, undone: Database) -> None:
    """The hour that is not over has hundreds of entries; whoever asks up to now reads none of them."""
    story.grant(1000)
    spend = "select billing.consume_credits('TestAgent', 'test', amount => 1, organization_id => %(id)s)"
    usage = "select sum(amount) from billing.get_usage_breakdown(%(id)s, '2030-12-31', %(to)s)"
    fetched = (
        "select sum(coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables"
        " where relname ~ '^credit_transactions_[0-9]+$'"
    )
    mine = {"id": story.organization_id, "to": day(0) + timedelta(minutes=1)}
    undone.execute(f"{spend} from generate_series(1, 500)".encode(), mine)
    undone.execute("select billing_private.fold_usage(%(id)s)", mine)
    before = _figure(undone, fetched)
    assert _figure(undone, usage, mine) == 500
    assert _figure(undone, fetched) - before < 50  # the instants are found by bisection
    undone.execute(
        "update billing.organizations set test_clock = %(to)s where organization_id = %(id)s", mine
    )
    undone.execute(f"{spend} from generate_series(1, 7)".encode(), mine)
    undone.execute("select billing_private.fold_usage(%(id)s)", mine)
    assert _figure(undone, usage, mine) == 500  # what came at `to` itself is not before it
    assert _figure(undone, usage, mine | {"to": day(1)}) == 507


def _figure(database: Database, query: str, parameters: dict[str, Any] | None = None) -> Any:
    row = database.execute(query.encode(), parameters).fetchone()
    assert row
    return next(iter(row.values()))


@pytest.mark.serial
def test_jobs_read_no_ledger_that_is_at_rest(undone: Database) -> None:
    """Ten thousand organizations, each with an entry that is not folded and nothing due."""

    def rows_read() -> Counter[str]:
        """Rows by table that a run of the jobs reads when it has nothing to do but what every run does again.

        A run does no more than its share of what is due, and what waits for something is looked at in each.
        """
        seen: list[dict[str, tuple[int, int]]] = []
        while len(seen) < 2 or seen[-1] != seen[-2]:
            seen.append(jobs(undone))
        query = (
            "select relname as name, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as value"
            " from pg_stat_xact_user_tables where schemaname in ('billing', 'billing_private')"
        )
        before = Counter({row["name"]: int(row["value"]) for row in undone.execute(query)})
        assert all(failed == 0 for _, failed in jobs(undone).values())
        return Counter({row["name"]: int(row["value"]) for row in undone.execute(query)}) - before

    without = rows_read()
    with undone.transaction(force_rollback=True):
        undone.execute(
            """
            with made as (
              insert into billing.organizations (name) select 'At rest' from generate_series(1, 10000)
              returning organization_id, ledger_number
            )
            insert into billing.credit_transactions (
              organization_id, sequence, created_at, turn_at, id, has_scoped_grants, kind, amount,
              balance_after
            )
            select m.organization_id, 1, now(), '-infinity',
              billing_private.transaction_id(m.ledger_number, 1), false, 'schedule', 0, 0
            from made as m
            """
        )
        beside_them = rows_read()
    # Read once more without them: new statistics on what earlier tests left may change a plan at any time.
    more = beside_them - (without | rows_read())
    assert more.total() < 5000, more


@pytest.mark.serial
def test_a_ledger_is_folded_while_it_moves_and_forgotten_when_it_is_quiet(
    story: Story, undone: Database
) -> None:
    def is_active() -> bool:
        query = "select 1 from billing_private.credit_usage_active where organization_id = %s"
        return undone.execute(query, (story.organization_id,)).fetchone() is not None

    def unfolded() -> int:
        row = undone.execute(
            "select (billing_private.ledger_tail(%(id)s)).sequence - coalesce(max(folded_sequence), 0)"
            " as behind"
            " from billing_private.credit_usage_watermarks where organization_id = %(id)s",
            {"id": story.organization_id},
        ).fetchone()
        assert row
        return int(row["behind"])

    story.grant(10)
    story.consume(1).accepted()
    assert is_active()
    jobs(undone)
    assert (unfolded(), is_active()) == (
        0,
        True,
    )  # it may move again within its minute, and then marks nothing
    undone.execute(
        "update billing_private.credit_usage_active set active_since = now() - interval '1 hour'"
        " where organization_id = %s",
        (story.organization_id,),
    )
    jobs(undone)
    assert is_active()  # its last entry is of just now
    undone.execute("alter table billing.credit_transactions disable trigger credit_transactions_append_only")
    undone.execute(
        "update billing.credit_transactions set announced_at = now() - interval '1 hour'"
        " where organization_id = %s",
        (story.organization_id,),
    )
    jobs(undone)
    assert not is_active()


@pytest.mark.serial
def test_months_are_made_ahead_and_take_in_what_has_waited(story: Story, undone: Database) -> None:
    story.grant(10)
    story.consume(4, run_id="early").accepted()
    jobs(undone)
    query = (
        "select tableoid::regclass::text as part, amount from billing_private.credit_usage_runs"
        " where organization_id = %s"
    )
    (row,) = undone.execute(query, (story.organization_id,)).fetchall()
    assert row["part"].endswith("credit_usage_runs_other")  # 2031 is far ahead of the job
    made = undone.execute("select billing_private.make_partitions(%s) as made", (day(0),)).fetchone()
    assert made == {"made": 4}
    (row,) = undone.execute(query, (story.organization_id,)).fetchall()
    assert row == {"part": "billing_private.credit_usage_runs_203101", "amount": 4}
    made = undone.execute("select billing_private.make_partitions(%s) as made", (day(0),)).fetchone()
    assert made == {"made": 0}
    present = undone.execute(
        "select to_regclass('billing_private.credit_usage_runs_'"
        " || to_char(now() at time zone 'UTC' + interval '3 months', 'YYYYMM')) as part"
    ).fetchone()
    assert present
    assert present["part"]


def test_jobs_are_the_services_own(
    new_organization: Callable[..., Organization], stack: StackUnderTest
) -> None:
    organization = new_organization()
    token = organization.owner.client.auth.get_session().access_token  # type: ignore[union-attr]
    owner = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    assert owner.call("run_due_jobs").status == 403
