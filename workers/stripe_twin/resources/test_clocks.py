"""Test clocks: customers whose time a test moves on.

Source: https://docs.stripe.com/billing/testing/test-clocks

An advance does everything that falls due before its new time within the call. The answer still says
`advancing`, as Stripe's does; the next look at the clock says `ready`.
"""

from __future__ import annotations

from stripe_twin.errors import StripeError, invalid
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.periods import DAY, add_intervals
from stripe_twin.resources.common import list_objects, only, value_of
from stripe_twin.resources.customers import delete_customer
from stripe_twin.shapes import Json, complete
from stripe_twin.timers import run_clock
from stripe_twin.unit import Record, UnitOfWork, snapshot

_KIND = "test_helpers.test_clock"
_PATH = "/v1/test_helpers/test_clocks"
_ONE = _PATH + "/<test_clock_id>"
_LIFETIME_SECONDS = 30 * DAY
_LONGEST_STEP_YEARS = 2


@operation("POST", _PATH, "test_helpers._test_clock_create_params.TestClockCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a clock that stands still, and emit `test_helpers.test_clock.created`."""
    only(params, ("customer", "frozen_time", "name"), "test clock creation")
    clock = complete(
        _KIND,
        {
            "id": new_id("clock"),
            "created": unit.now,
            "deletes_after": unit.now + _LIFETIME_SECONDS,
            "frozen_time": params["frozen_time"],
            "name": value_of(params, "name"),
            "status": "ready",
            "status_details": {},
        },
    )
    record = unit.insert(clock)
    unit.emit("test_helpers.test_clock.created", clock)
    if params.get("customer"):
        _take_customer(unit, record, params["customer"])
    return clock


def _take_customer(unit: UnitOfWork, clock: Record, customer_id: str) -> None:
    customer = unit.get("customer", customer_id, lock=True, param="customer")
    if customer.data["test_clock"] or unit.all("subscription", {"customer": customer_id}):
        raise invalid(
            "Only a customer without clock and subscriptions can be given a clock.", param="customer"
        )
    customer.data["test_clock"] = clock.id
    unit.save(customer)


@operation("GET", _PATH, "test_helpers._test_clock_list_params.TestClockListParams")
def list_clocks(unit: UnitOfWork, params: Parameters) -> Json:
    """List clocks."""
    return list_objects(unit, _KIND, params, _PATH)


@operation("GET", _ONE, "test_helpers._test_clock_retrieve_params.TestClockRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, test_clock_id: str) -> Json:
    """Return a clock."""
    return unit.get(_KIND, test_clock_id).data


@operation("POST", _ONE + "/advance", "test_helpers._test_clock_advance_params.TestClockAdvanceParams")
def advance(unit: UnitOfWork, params: Parameters, test_clock_id: str) -> Json:
    """Move a clock on; what falls due on the way happens, each thing at its time."""
    clock = unit.get(_KIND, test_clock_id, lock=True)
    return advance_clock(unit, clock, params["frozen_time"])


def advance_clock(unit: UnitOfWork, clock: Record, until: int) -> Json:
    """Move a locked clock on and emit `...advancing` and `...ready`; return it as it was on its way.

    Raises:
        StripeError: 400 for a time in the clock's past, or more than two years ahead.
    """
    start = clock.data["frozen_time"]
    if until <= start:
        raise _refusal("The clock can only be moved forward.")
    if until > add_intervals(start, "year", _LONGEST_STEP_YEARS):
        raise _refusal("A clock can be moved by at most two years at a time.")
    clock.data |= {
        "status": "advancing",
        "status_details": {"advancing": {"target_frozen_time": until}},
    }
    unit.emit("test_helpers.test_clock.advancing", clock.data)
    shown = snapshot(clock.data)
    run_clock(unit, clock.id, until)
    clock.data |= {"frozen_time": until, "status": "ready", "status_details": {}}
    unit.save(clock)
    unit.emit("test_helpers.test_clock.ready", clock.data)
    return shown


def _refusal(message: str) -> StripeError:
    return invalid(message, param="frozen_time")


@operation("DELETE", _ONE, "test_helpers._test_clock_delete_params.TestClockDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, test_clock_id: str) -> Json:
    """Delete a clock and its customers, and emit `test_helpers.test_clock.deleted`."""
    clock = unit.get(_KIND, test_clock_id, lock=True)
    for customer in unit.all("customer", {"test_clock": clock.id}):
        delete_customer(unit, customer.id)
    clock.deleted = True
    unit.save(clock)
    unit.emit("test_helpers.test_clock.deleted", clock.data)
    return {"id": clock.id, "object": _KIND, "deleted": True}
