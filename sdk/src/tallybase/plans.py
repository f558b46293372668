"""Plans as a file under review: read them, compare them, bring the project in line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tallybase._calls import Call, Query, rows_of
from tallybase.client import Credits
from tallybase.errors import ConfigurationError, InvalidArgument


class Plan(BaseModel):
    """A plan. `unit_amount` is its price in the smallest unit of the currency, credits are credits.

    What a file does not name has the default. `is_active` False takes a plan off the offer; none is deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    description: str = ""
    unit_amount: int
    currency: str = "usd"
    billing_interval: Literal["day", "week", "month", "year"] = "month"
    credits_per_period: Decimal
    rollover_cap: Decimal | None = None
    rollover_share: Decimal | None = None
    credit_expiry: str | None = None
    trial_days: int = 0
    trial_credits: Decimal = Decimal(0)
    grace_days: int = 3
    features: Mapping[str, object] = {}
    is_active: bool = True
    sort_order: int = 0


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One difference between a file and the project.

    Attributes:
        key: the plan.
        action: `create` or `update`; `extra`: only the project has it, which a push leaves alone.
        before: what the project says, of what differs.
        after: what the file says.
    """

    key: str
    action: Literal["create", "update", "extra"]
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)


_PLANS = TypeAdapter(list[Plan])
_COLUMNS = ",".join(Plan.model_fields)


def read_plans(text: str | bytes) -> list[Plan]:
    """Read plans from JSON, as `pull` writes them.

    Raises:
        InvalidArgument: it is not a list of plans, or two have one key.
    """
    try:
        plans = _PLANS.validate_json(text)
    except ValidationError as error:
        raise InvalidArgument(f"plans: {error}", details={"argument": "plans"}) from None
    keys = [plan.key for plan in plans]
    if doubled := sorted({key for key in keys if keys.count(key) > 1}):
        hint = f"two plans have the key {doubled[0]}"
        raise InvalidArgument(f"plans: {hint}", details={"argument": "plans"}, hint=hint)
    return plans


class Plans:
    """Calls for whoever keeps the catalogue.

    Args:
        client: with the project's secret key.

    Raises:
        ConfigurationError: the client has no secret key.
    """

    def __init__(self, client: Credits) -> None:
        if not client.is_service:
            raise ConfigurationError("This takes the project's secret key in TALLYBASE_KEY.")
        self._client = client

    def pull(self) -> list[Plan]:
        """Return the project's plans, those that are not on offer included."""
        query = f"subscription_plans?select={_COLUMNS}&order=sort_order.asc,key.asc"
        return self._client.perform(Query(query, rows_of(Plan)))

    def diff(self, wanted: Iterable[Plan]) -> list[PlanChange]:
        """Say what a push would do."""
        there = {plan.key: plan for plan in self.pull()}
        changes = []
        for plan in wanted:
            after, old = plan.model_dump(), there.pop(plan.key, None)
            before = {} if old is None else old.model_dump()
            differing = [name for name in after if old is None or after[name] != before[name]]
            if differing:
                changes.append(
                    PlanChange(
                        plan.key,
                        "create" if old is None else "update",
                        {name: before[name] for name in differing if name in before},
                        {name: after[name] for name in differing},
                    )
                )
        return changes + [PlanChange(key, "extra") for key in there]

    def push(self, wanted: Iterable[Plan]) -> list[PlanChange]:
        """Make and edit plans so that the project has those of the file; leaves others alone.

        Periods that have begun keep the terms they began with. Prices at Stripe follow by `catalogue sync`.

        Returns:
            what was done, and which plans only the project has.
        """
        plans = {plan.key: plan for plan in wanted}
        changes = self.diff(plans.values())
        for change in changes:
            if change.action == "extra":
                continue
            terms = {name: value for name, value in change.after.items() if name != "key"}
            self._client.perform(Call("set_subscription_plan", {"key": change.key, "terms": terms}, _ignore))
        return changes


def write_plans(plans: list[Plan]) -> str:
    """Write plans as JSON for a file, without what has the default."""
    return _PLANS.dump_json(plans, indent=2, exclude_defaults=True).decode() + "\n"


def _ignore(payload: object) -> object:
    return payload
