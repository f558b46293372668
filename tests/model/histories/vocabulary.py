"""What a client does in a concurrent history: random calls on few tenants, so that they collide."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any, TypeVar

from ..entities import Refused
from .doors import Door, Mark, SqlDoor, Told
from .operations import ACTIONS, History, Operation
from .world import SERVICE, Caller, TakenHold, Tenant

T = TypeVar("T")

AGENT_TYPES = ["TestAgent", "TestAgent", "TestAgent", "QAAgent"]
SPENT = [Decimal(text) for text in ("5", "1", "10", "2.5", "12.5", "0.000001", "3.33333333", "7")]
GRANTED = [Decimal(text) for text in ("10", "25", "60", "1", "40", "12.345678", "80")]
HELD = [Decimal(text) for text in ("8", "5", "20", "0", "1.5")]
MILLIONTH = Decimal("0.000001")
LOST_SHARE = 0.04
LOCK_SECONDS = 2.4
SHARED_KEYS = 4
CALLS_PER_KEY_GENERATION = 50


class Client:
    """One client with connections of its own."""

    def __init__(self, door: Door, operator: SqlDoor, randomness: random.Random, number: int) -> None:
        """Make a client.

        Args:
            door: how it calls.
            operator: the connection for what only SQL can place exactly: limits and settings.
            randomness: seeded.
            number: told apart by.
        """
        self._door = door
        self._operator = operator
        self._random = randomness
        self._number = number
        self._history = History(None)  # type: ignore[arg-type]
        self._extensions = 0
        self._words: dict[Callable[[], None], int] = {
            self.consume: 380,
            self.consume_batch: 60,
            self.grant: 75,
            self.hold: 90,
            self.extend: 40,
            self.capture: 70,
            self.release: 35,
            self.refund: 55,
            self.void: 8,
            self.transfer: 35,
            self.adjust: 15,
            self.read: 80,
            self.limit: 20,
            self.configure: 10,
        }

    def close(self) -> None:
        """Let go of the connections."""
        self._door.close()
        self._operator.close()

    def step(self, history: History) -> None:
        """Make one random call on a tenant."""
        self._history = history
        history.tenant.calls += 1
        (word,) = self._random.choices(list(self._words), list(self._words.values()))
        word()

    def sit_on_the_lock(self, history: History) -> None:
        """Keep everybody else from a tenant for longer than they will wait."""
        self._operator.sit_on_the_lock(history.tenant, LOCK_SECONDS)

    # Helpers

    @property
    def _tenant(self) -> Tenant:
        return self._history.tenant

    def _one_in(self, count: int) -> bool:
        return self._random.randrange(count) == 0

    def _spender(self) -> Caller:
        callers = self._tenant.callers
        return self._random.choice(callers if self._one_in(10) else [c for c in callers if c.is_member])

    def _department(self, caller: Caller) -> str | None:
        if caller.department or not self._one_in(4):
            return None
        return self._random.choice(self._tenant.departments)

    def _key(self, must: bool = False) -> str | None:
        """Return no key, a new one, or one that others use at this time as well."""
        draw = self._random.randrange(10)
        if draw < 4 and not must:
            return None
        if draw < 7:
            return f"own-{self._number}-{secrets.token_hex(6)}"
        generation = self._tenant.calls // CALLS_PER_KEY_GENERATION
        return f"shared-{generation}-{self._random.randrange(SHARED_KEYS)}"

    def _choose(self, options: Sequence[T], key: str | None) -> T:
        """Choose; those who share a key mostly choose alike, so that it replays more than it conflicts."""
        if key and key.startswith("shared") and not self._one_in(4):
            return random.Random(key).choice(options)
        return self._random.choice(options)

    def _soon(self, shares: int) -> str | None:
        """Return an instant within the next seconds, or mostly none."""
        if not self._one_in(shares):
            return None
        later = timedelta(seconds=self._random.uniform(0.2, 2.5))
        return (datetime.now(UTC) + later).isoformat()

    def _call(
        self, caller: Caller, function: str, arguments: Mapping[str, Any], is_repeatable: bool = False
    ) -> Any | Refused:
        """Call, perhaps after losing an answer or two; what can be sent again is, until it is answered."""
        before: Mark | None = None
        while is_repeatable and self._random.random() < LOST_SHARE:
            mark = self._door.lose(self._tenant, caller, function, arguments)
            before = before or mark
        while True:
            told = self._door.call(self._tenant, caller, function, arguments)
            is_busy = isinstance(told.answer, Refused) and told.answer.slug == "busy"
            self._write_down(caller, function, arguments, told, None if is_busy else before)
            if not (is_busy and before):
                return told.answer

    def _write_down(
        self,
        caller: Caller,
        function: str,
        arguments: Mapping[str, Any],
        told: Told,
        lost_since: Mark | None = None,
    ) -> None:
        self._history.operations.append(
            Operation(
                caller,
                function,
                arguments,
                lost_since or told.before,
                told.after,
                told.answer,
                told.within,
                lost_since is not None,
            )
        )

    # Spending

    def _event(self, caller: Caller) -> dict[str, Any]:
        key = self._key()
        agent_type = self._choose(AGENT_TYPES, key)
        return {
            "agent_type": agent_type,
            "action": ACTIONS[agent_type],
            "amount": str(self._choose(SPENT, key)) if agent_type == "TestAgent" else None,
            "department_id": self._department(caller),
            "run_id": f"run-{self._random.randrange(3)}" if self._one_in(4) else None,
            "idempotency_key": key,
        }

    def consume(self) -> None:
        """Spend."""
        caller = self._spender()
        arguments = self._event(caller) | {"organization_id": self._tenant.organization_id}
        answer = self._call(caller, "consume_credits", arguments, bool(arguments["idempotency_key"]))
        self._learn_consumption(answer)

    def _learn_consumption(self, receipt: Any | Refused) -> None:
        if not isinstance(receipt, Refused) and not receipt["replayed"] and receipt["amount"]:
            self._tenant.consumptions.append(receipt["transaction_id"])
            self._tenant.spent += receipt["amount"]

    def consume_batch(self) -> None:
        """Spend several times in one call."""
        caller = self._spender()
        events = [self._event(caller) for _ in range(self._random.randint(2, 6))]
        if caller.agent_types:
            events = [e for e in events if e["agent_type"] in caller.agent_types] or [
                {"agent_type": "TestAgent", "action": "test", "amount": "1"}
            ]
        arguments = {
            "events": events,
            "atomic": self._one_in(2),
            "organization_id": self._tenant.organization_id,
        }
        answer = self._call(caller, "consume_credits_batch", arguments)
        for row in [] if isinstance(answer, Refused) else answer:
            if row["ok"]:
                self._learn_consumption(row["receipt"])

    def refund(self) -> None:
        """Give back."""
        if not self._tenant.consumptions:
            return
        caller = self._tenant.caller("owner") if self._one_in(2) else SERVICE
        key = self._key(must=True)
        arguments = {
            "transaction_id": self._random.choice(list(self._tenant.consumptions)[-20:]),
            "amount": self._choose([None, None, None, "1", "0.5", "5"], key),
            "reason": self._choose(["customer", "platform_fault"], key),
            "idempotency_key": key,
        }
        self._call(caller, "refund_consumption", arguments, is_repeatable=True)

    # Granting

    def grant(self) -> None:
        """Grant, perhaps for a short time, perhaps soon."""
        begins = self._soon(6)
        ends = self._soon(3)
        if begins and ends and ends <= begins:
            begins, ends = ends, begins
        reference = self._key(must=True)
        arguments = {
            "organization_id": self._tenant.organization_id,
            "amount": str(self._choose(GRANTED, reference)),
            "source": "promotion",
            "source_reference": reference,
            "effective_at": begins,
            "expires_at": ends,
            "priority": 50 if self._one_in(6) else 100,
            "department_id": self._random.choice(self._tenant.departments) if self._one_in(5) else None,
            "agent_types": ["TestAgent"] if self._one_in(6) else None,
            "unit_cost": "0.5" if self._one_in(3) else "0",
        }
        answer = self._call(SERVICE, "grant_credits", arguments, is_repeatable=True)
        if not isinstance(answer, Refused) and not answer["replayed"]:
            self._tenant.grants.append(answer["grant_id"])

    def void(self) -> None:
        """Take a grant away."""
        if self._tenant.grants:
            grant_id = self._random.choice(list(self._tenant.grants))
            arguments = {"grant_id": grant_id, "reason": "history"}
            self._call(SERVICE, "void_grant", arguments, is_repeatable=True)

    def adjust(self) -> None:
        """Correct by hand."""
        key = self._key(must=True)
        arguments = {
            "organization_id": self._tenant.organization_id,
            "delta": self._choose(["-3", "-20", "6", "15"], key),
            "reason": "history",
            "idempotency_key": key,
        }
        self._call(SERVICE, "adjust_credits", arguments, is_repeatable=True)

    def transfer(self) -> None:
        """Lend to a department, or give back to the pool."""
        key = self._key(must=True)
        scopes = self._choose(list(permutations([None, *self._tenant.departments], 2)), key)
        arguments = {
            "from_department_id": scopes[0],
            "to_department_id": scopes[1],
            "amount": self._choose(["5", "12", "0.5"], key),
            "idempotency_key": key,
        }
        self._call(self._tenant.caller("owner"), "transfer_credits", arguments, is_repeatable=True)

    # Holds

    def hold(self) -> None:
        """Reserve."""
        caller = self._spender()
        key = self._key()
        agent_type = self._choose(AGENT_TYPES, key)
        arguments = {
            "agent_type": agent_type,
            "action": ACTIONS[agent_type],
            "amount": str(self._choose(HELD, key)) if agent_type == "TestAgent" else None,
            "organization_id": self._tenant.organization_id,
            "department_id": self._department(caller),
            "run_id": f"run-{self._random.randrange(3)}" if self._one_in(4) else None,
            "expires_in": f"{self._random.choice([200, 800, 3000, 60000])} milliseconds",
            "idempotency_key": key,
        }
        answer = self._call(caller, "hold_credits", arguments, bool(arguments["idempotency_key"]))
        if not isinstance(answer, Refused) and not answer["replayed"]:
            taken = TakenHold(answer["hold_id"], caller.user_id, caller.agent_key)
            self._tenant.holds.append(taken)

    def _some_hold(self) -> tuple[TakenHold, Caller] | None:
        """Return a hold and somebody who may resolve it, or now and then somebody who may not."""
        if not self._tenant.holds:
            return None
        hold = self._random.choice(list(self._tenant.holds)[-15:])
        able = [c for c in self._tenant.callers if c.owns(hold)]
        return hold, self._random.choice(self._tenant.callers if self._one_in(12) else able)

    def extend(self) -> None:
        """Reserve more. Each extension adds another millionth, so that its entry can be told from others."""
        if found := self._some_hold():
            hold, caller = found
            self._extensions += 1
            own = (self._extensions * 64 + self._number) * MILLIONTH
            arguments = {
                "hold_id": hold.hold_id,
                "additional": self._random.choice([Decimal(0), Decimal(3)]) + own,
                "metered": None if self._one_in(2) else str(self._random.choice([Decimal(1), Decimal(4)])),
                "expires_in": f"{self._random.choice([300, 2000])} milliseconds" if self._one_in(2) else None,
            }
            self._call(caller, "extend_hold", arguments)

    def capture(self) -> None:
        """Charge what it came to."""
        if found := self._some_hold():
            hold, caller = found
            amount = self._random.choice([None, Decimal(0), Decimal(4), Decimal(8), Decimal(30)])
            arguments = {
                "hold_id": hold.hold_id,
                "amount": None if amount is None else str(amount),
                "idempotency_key": self._key(),
            }
            self._call(caller, "capture_hold", arguments, bool(arguments["idempotency_key"]))

    def release(self) -> None:
        """Let go."""
        if found := self._some_hold():
            hold, caller = found
            self._call(caller, "release_hold", {"hold_id": hold.hold_id}, is_repeatable=True)

    # Reading and settings

    def read(self) -> None:
        """Ask for the balance."""
        caller = self._random.choice([c for c in self._tenant.callers if c.is_member])
        self._call(caller, "get_credit_balance", {"organization_id": self._tenant.organization_id})

    def limit(self) -> None:
        """Set a limit near what has been spent so far, so that it blocks now and then."""
        tenant = self._tenant
        subject, subject_id, window = self._random.choice(
            [
                ("organization", tenant.organization_id, "day"),
                ("department", tenant.departments[0], "week"),
                ("department", tenant.departments[1], "month"),
                ("agent_type", "QAAgent", "lifetime"),
                ("member", tenant.caller("member").user_id, "day"),
                ("agent_key", tenant.caller("agent free").agent_key, "lifetime"),
                ("run", f"run-{self._random.randrange(3)}", "lifetime"),
            ]
        )
        share = Decimal(1) if subject == "organization" else Decimal("0.3")
        room = self._random.choice([Decimal(20), Decimal(100), Decimal(400)])
        arguments = {
            "subject_type": subject,
            "subject_id": subject_id,
            "amount": str((tenant.spent * share).quantize(MILLIONTH) + room),
            "window": window,
            "mode": "soft" if self._one_in(5) else "hard",
            "timezone": "America/New_York" if subject == "department" else "UTC",
            "organization_id": tenant.organization_id,
        }
        owner = tenant.caller("owner")
        told = self._operator.call_placed(tenant, owner, "set_credit_limit", arguments)
        self._write_down(owner, "set_credit_limit", arguments, told)

    def configure(self) -> None:
        """Change how the organization is treated."""
        column, value = self._random.choice(
            [
                ("overdraft_limit", self._random.choice([0, 5, 20])),
                ("over_capture_policy", self._random.choice(["deny", "up_to_available", "allow_debt"])),
                ("restricted_reason", self._random.choice(["paused", None, None])),
                ("restricted_reason", None),
            ]
        )
        told = self._operator.configure(self._tenant, column, value)
        self._write_down(SERVICE, "configure", {"column": column, "value": value}, told)
