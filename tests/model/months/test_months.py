"""The same stories give the same ledgers whether the jobs run each minute, each day, or once at the end.

By default small; `TALLYBASE_MONTHS_PROFILE=developer` plays 24 months in 200 organizations.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise, zip_longest

import pytest

from tests.conftest import StackUnderTest, User

from ..database import Database
from .dumping import dump
from .playing import play

SEED = int(os.environ.get("TALLYBASE_MONTHS_SEED", "1"))


@dataclass(frozen=True)
class Profile:
    """How much is played.

    Attributes:
        organizations: how many.
        months: how long.
        often: how often the jobs run in the first playing.
        skip_idle: leave out ticks at which nothing is due anywhere.
    """

    organizations: int
    months: int
    often: timedelta
    skip_idle: bool


PROFILES = {
    # Plans end after 100 days and begin again after 140.
    "ci": Profile(6, 5, timedelta(hours=1), skip_idle=False),
    "developer": Profile(200, 24, timedelta(minutes=1), skip_idle=True),
}


@pytest.mark.timeout(28_800)
def test_jobs_often_seldom_or_once_leave_the_same_ledgers(
    stack: StackUnderTest, new_user: Callable[[], User]
) -> None:
    profile = PROFILES[os.environ.get("TALLYBASE_MONTHS_PROFILE", "ci")]
    owner = new_user().user_id
    plan_key = f"months_{secrets.token_hex(8)}"
    with Database.connect(stack.database_url) as connection:
        connection.execute(
            "insert into billing.subscription_plans"
            " (key, name, unit_amount, credits_per_period, billing_interval, rollover_cap)"
            " values (%s, 'Months', 0, 100, 'month', 30)",
            (plan_key,),
        )
        playings = []
        for every, skip_idle in (
            (profile.often, profile.skip_idle),
            (timedelta(days=1), False),
            (None, False),
        ):
            played = play(
                connection,
                owner,
                plan_key,
                organizations=profile.organizations,
                months=profile.months,
                seed=SEED,
                every=every,
                skip_idle=skip_idle,
            )
            print(f"\njobs every {every}: {played.runs} runs, {played.refusals} refused calls")
            playings.append(played)
        entries = 0
        for ids in zip(*(played.organization_ids for played in playings), strict=True):
            ledgers = [dump(connection, organization_id) for organization_id in ids]
            for one, other in pairwise(ledgers):
                for table, lines in one.items():
                    pairs = zip_longest(lines, other[table])
                    differing = next((pair for pair in pairs if pair[0] != pair[1]), None)
                    assert differing is None, f"{table} of {ids}: {differing}"
            entries += len(ledgers[0]["entries"])
            violations = [
                connection.execute("select * from billing.verify_ledger(%s)", (id_,)).fetchall()
                for id_ in ids
            ]
            assert violations == [[], [], []]
        kinds = {
            row["kind"]
            for row in connection.execute(
                "select distinct kind from billing.credit_transactions where organization_id = any(%s)",
                (playings[0].organization_ids,),
            )
        }
    print(
        f"{profile.organizations} organizations x {profile.months} months:"
        f" {entries} lines of ledger alike, {sorted(kinds)}"
    )
    refusals = {played.refusals for played in playings}
    assert len(refusals) == 1
    assert refusals != {0}, "no call was refused: the stories are too easy"
    assert playings[0].runs > playings[1].runs > playings[2].runs == 1
    assert kinds >= {"grant", "consume", "expire", "hold", "release", "refund", "transfer", "schedule"}
