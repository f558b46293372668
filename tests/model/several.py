"""What reaches beyond one call in one organization: taking turns, bulk grants, lost answers."""

from __future__ import annotations

import secrets
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .comparing import learn, outcome
from .database import Database
from .entities import NEVER, Grant
from .ledger import Ledger
from .limiting import LimitStory
from .story import GRANTED, KEY, PICK, SPENT, START

#: What a story knows of one organization.
_OWN = (
    "database",
    "departments",
    "ledger",
    "sent",
    "granted",
    "taken",
    "captures",
    "spent",
    "consumptions",
    "parked",
    "is_swept",
)


class SeveralStory(LimitStory):
    """Two organizations, with the same keys."""

    def __init__(self) -> None:
        super().__init__()
        self.resting: dict[str, Any] | None = None

    # Organizations

    @rule()
    def change_organization(self) -> None:
        """Section 3.2: the story goes on in another organization, where the same keys mean nothing."""
        known = {name: getattr(self, name) for name in _OWN}
        coming = self.resting or self._new_organization()
        self.resting = known
        for name in _OWN:
            setattr(self, name, coming[name])

    def _new_organization(self) -> dict[str, Any]:
        database = Database(self.connection, self.owner, START)
        empty: dict[str, Any] = {name: [] for name in ("sent", "granted", "taken", "captures", "spent")}
        return empty | {
            "database": database,
            "departments": [database.department(name) for name in ("Marketing", "Research")],
            "ledger": type(self.ledger)(START),
            "consumptions": {},
            "parked": {},
            "is_swept": True,
        }

    def teardown(self) -> None:
        """Both end well."""
        super().teardown()
        if self.resting:
            self.change_organization()
            super().teardown()

    @rule()
    def run_due_jobs(self) -> None:
        """Section 9: the sweeper, late or twice, in every organization."""
        super().run_due_jobs()
        if self.resting:
            self.resting["is_swept"] = True

    # Bulk grants

    @rule(amounts=st.lists(GRANTED, min_size=1, max_size=4))
    def grant_bulk(self, amounts: list[Decimal]) -> None:
        """Section 6: grants to both, all or nothing; the same batch again is a replay."""
        worlds: list[tuple[Database, Ledger]] = [(self.database, self.ledger)]
        if self.resting:
            worlds.append((self.resting["database"], self.resting["ledger"]))
            self.resting["is_swept"] = True
        batch_key = secrets.token_hex(8)
        rows = [
            {
                "organization_id": str(worlds[place % len(worlds)][0].organization_id),
                "amount": str(amount),
                "source": "promotion",
            }
            for place, amount in enumerate(amounts)
        ]
        for is_again in (False, True):
            told = self.database.one("grant_credits_bulk", batch_key=batch_key, grants=rows)
            expected = (len(rows), sum(amounts, Decimal(0)), is_again)
            assert (told["grant_count"], told["total_amount"], told["replayed"]) == expected
        for place, amount in enumerate(amounts):
            database, ledger = worlds[place % len(worlds)]
            grant = Grant(amount, ledger.now, NEVER)
            (row,) = database.query(
                "select id from billing.credit_grants where organization_id = %s and source_reference = %s",
                f"{batch_key}:{place}",
            )
            learn(grant, row["id"])
            ledger.grant(grant)
        self.is_swept = True

    # Lost answers

    @rule(amount=SPENT, key=KEY)
    def spend_without_an_answer(self, amount: Decimal, key: str) -> None:
        """Section 3.2: the answer of a spend is lost; sent again with its key, it is the first receipt."""
        spend = self._new_spend(amount, "TestAgent", None, key)
        outcome(
            lambda: self.database.one(
                "consume_credits", organization_id=self.database.organization_id, **self._event(spend)
            )
        )
        outcome(lambda: self.ledger.consume(spend))
        self._spend(spend)

    @precondition(lambda self: self.taken)
    @rule(which=PICK, amount=st.none() | st.just(Decimal(1)), key=KEY.map("lost-{}".format))
    def capture_without_an_answer(self, which: int, amount: Decimal | None, key: str) -> None:
        """Section 4: the answer of a capture is lost; sent again with its key, it is the first receipt."""
        if not self.ledger.holds:
            return
        hold = self.ledger.holds[which % len(self.ledger.holds)]
        outcome(
            lambda: self.database.one("capture_hold", hold_id=hold.id, amount=amount, idempotency_key=key)
        )
        outcome(lambda: self.ledger.capture(hold, amount, key))
        expected = outcome(lambda: self.ledger.capture(hold, amount, key))
        actual = outcome(
            lambda: self.database.one("capture_hold", hold_id=hold.id, amount=amount, idempotency_key=key)
        )
        self._same_movement(expected, actual)

    @rule()
    def wait_a_moment(self) -> None:
        """Time passes by a microsecond: the least that the ledger tells apart."""
        self.advance(timedelta(microseconds=1))
