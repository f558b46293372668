"""The life of a refund: pending, succeeded, failed; and what each does to the charge and the balance.

Source: https://docs.stripe.com/refunds
"""

from __future__ import annotations

from stripe_twin import cards
from stripe_twin.amounts import check_step
from stripe_twin.errors import StripeError, invalid, unexpected_state
from stripe_twin.identifiers import new_id
from stripe_twin.parameters import Parameters
from stripe_twin.preferences import read_preferences
from stripe_twin.resources.balance import book
from stripe_twin.resources.common import update, value_of
from stripe_twin.resources.verdicts import is_bank_account
from stripe_twin.shapes import Json, complete
from stripe_twin.timers import set_timer, timer
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot


def create_refund(unit: UnitOfWork, charge: Record, params: Parameters) -> Record:
    """Give money of a locked charge back: `refund.created`, `charge.refunded`, and what follows.

    Args:
        unit: The unit of work.
        charge: The locked charge.
        params: `amount` (the rest of the charge when left out), `reason`, `metadata`.

    Raises:
        StripeError: 400 for more than is left, a charge that is disputed or was not paid.
    """
    left = charge.data["amount"] - charge.data["amount_refunded"]
    amount = params.get("amount", left)
    _check(unit, charge, amount, left)
    method = unit.find("payment_method", charge.data["payment_method"])
    habit = _habit(method)
    status = "pending" if habit == "refund_pending" else "succeeded"
    record = unit.insert(_shape(unit, charge, amount, params, status))
    is_card = charge.data["payment_method_details"]["type"] == "card"
    booked = book(unit, record.data, "refund" if is_card else "payment_refund", -amount)
    record.data["balance_transaction"] = booked.id
    unit.save(record)
    unit.emit("refund.created", record.data)
    _take_off(unit, charge, amount, "charge.refunded")
    if habit is None and is_card:
        _add_reference(unit, record)
    elif habit is not None:
        moment = unit.now + read_preferences(unit).settle_after_seconds
        set_timer(unit, record.id, "refund_settles", moment, charge.data["customer"])
    return record


def _habit(method: Record | None) -> str | None:
    if method is None:
        return None
    if is_bank_account(method):
        return "refund_pending"
    trouble = cards.by_behaviour(method.hidden["behaviour"]).afterwards
    return trouble if trouble in ("refund_pending", "refund_fails") else None


def _check(unit: UnitOfWork, charge: Record, amount: int, left: int) -> None:
    if charge.data["status"] != "succeeded":
        raise invalid("This charge cannot be refunded: it did not succeed.", param="charge")
    if left == 0:
        raise invalid(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    if amount < left:
        check_step(amount, charge.data["currency"])
    for dispute in unit.all("dispute", {"charge": charge.id}):
        if dispute.data["status"] in ("needs_response", "under_review", "lost"):
            raise _disputed(charge)


def _disputed(charge: Record) -> StripeError:
    return invalid(
        f"The charge {charge.id} has been charged back; cannot issue a refund.", code="charge_disputed"
    )


def _shape(unit: UnitOfWork, charge: Record, amount: int, params: Parameters, status: str) -> Json:
    kind = charge.data["payment_method_details"]["type"]
    destination: Json = {}
    if kind == "card":
        destination = {"reference_status": "pending", "type": "refund"}
    elif kind == "us_bank_account":
        destination = {"reference": None, "reference_status": None}
    name = {"sepa_debit": "eu_bank_transfer", "us_bank_account": "us_bank_transfer"}.get(kind, kind)
    return complete(
        "refund",
        {
            "id": new_id("re"),
            "amount": amount,
            "charge": charge.id,
            "created": unit.now,
            "currency": charge.data["currency"],
            "customer": charge.data["customer"],
            "destination_details": {"type": name, name: destination},
            "metadata": value_of(params, "metadata") or {},
            "payment_intent": charge.data["payment_intent"],
            "payment_method": charge.data["payment_method"],
            "pending_reason": "processing" if status == "pending" else None,
            "reason": params.get("reason"),
            "status": status,
        },
    )


def _take_off(unit: UnitOfWork, charge: Record, amount: int, event: str) -> None:
    before = snapshot(charge.data)
    charge.data["amount_refunded"] += amount
    charge.data["refunded"] = charge.data["amount_refunded"] == charge.data["amount"]
    unit.save(charge)
    unit.emit(event, charge.data, changed(before, charge.data))


def _add_reference(unit: UnitOfWork, record: Record) -> None:
    """Note the number under which the customer's bank knows the refund; `refund.updated` tells it."""
    details = {
        **record.data["destination_details"]["card"],
        "reference": new_id("")[1:17],
        "reference_status": "available",
    }
    update(unit, record, {"destination_details": {"type": "card", "card": details}}, "refund.updated")


def lock_refund(unit: UnitOfWork, refund_id: str) -> tuple[Record, Record]:
    """Return a refund and its charge, the charge locked first.

    Raises:
        StripeError: 404 when there is none.
    """
    charge = unit.get("charge", unit.get("refund", refund_id).data["charge"], lock=True)
    return unit.get("refund", refund_id, lock=True), charge


def succeed(unit: UnitOfWork, record: Record) -> Json:
    """End the way of a locked pending refund: `refund.updated`."""
    if record.data["status"] != "pending":
        raise _settled(record)
    set_timer(unit, record.id, "refund_settles", None, record.data["customer"])
    return update(unit, record, {"pending_reason": None, "status": "succeeded"}, "refund.updated")


def fail(unit: UnitOfWork, record: Record, charge: Record, reason: str = "expired_or_canceled_card") -> Json:
    """Let a locked refund come back to the merchant: `refund.updated` and `refund.failed`.

    Args:
        unit: The unit of work.
        record: The locked refund.
        charge: Its locked charge.
        reason: `failure_reason`.

    Raises:
        StripeError: 400 when it failed already or was canceled.
    """
    return _return(unit, record, charge, {"failure_reason": reason, "status": "failed"}, "refund.failed")


def cancel(unit: UnitOfWork, record: Record, charge: Record) -> Json:
    """Cancel a locked pending refund: `refund.updated`."""
    if record.data["status"] != "pending":
        raise _settled(record)
    return _return(unit, record, charge, {"status": "canceled"}, None)


def _return(unit: UnitOfWork, record: Record, charge: Record, changes: Json, event: str | None) -> Json:
    if record.data["status"] in ("failed", "canceled"):
        raise _settled(record)
    set_timer(unit, record.id, "refund_settles", None, record.data["customer"])
    booked = book(unit, record.data, "refund_failure", record.data["amount"])
    before = snapshot(record.data)
    record.data |= {**changes, "failure_balance_transaction": booked.id, "pending_reason": None}
    unit.save(record)
    unit.emit("refund.updated", record.data, changed(before, record.data))
    unit.emit("charge.refund.updated", record.data, changed(before, record.data))
    if event is not None:
        unit.emit(event, record.data)
    _take_off(unit, charge, -record.data["amount"], "charge.updated")
    return record.data


def _settled(record: Record) -> StripeError:
    return unexpected_state(f"This refund's status is {record.data['status']}.", "refund_unexpected_state")


@timer("refund_settles")
def settle_in_time(unit: UnitOfWork, refund_id: str) -> None:
    """Let a slow refund arrive, or come back, as its test card has it."""
    record, charge = lock_refund(unit, refund_id)
    if record.data["status"] == "pending":
        succeed(unit, record)
    elif record.data["status"] == "succeeded":
        fail(unit, record, charge)
