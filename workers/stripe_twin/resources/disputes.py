"""Disputes: a bank takes money back, or only asks; and how that ends.

Sources: https://docs.stripe.com/disputes/how-disputes-work and https://docs.stripe.com/testing#disputes,
whose evidence texts `winning_evidence`, `losing_evidence` and `escalate_inquiry_evidence` decide here too.
"""

from __future__ import annotations

from collections.abc import Sequence

from stripe_twin import cards
from stripe_twin.errors import StripeError, invalid, unexpected_state
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.periods import DAY
from stripe_twin.resources.balance import DISPUTE_FEE, book
from stripe_twin.resources.common import list_objects, merged_metadata, only, update
from stripe_twin.resources.fraud_warnings import warn
from stripe_twin.shapes import Json, complete
from stripe_twin.timers import set_timer, timer
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_PATH = "/v1/disputes"
_ONE = _PATH + "/<dispute_id>"
_ANSWER_SECONDS = 9 * DAY
_INQUIRY_SECONDS = 21 * DAY
_OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
_NETWORK_REASON = {"fraudulent": "10.4", "product_not_received": "13.1", "duplicate": "12.6.1"}
_EVIDENCE = (
    "access_activity_log",
    "appeal",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def after_success(unit: UnitOfWork, charge: Record, method: Record) -> None:
    """Let a test card's later trouble follow its payment: a dispute, an inquiry, a fraud warning."""
    if method.data["type"] != "card":
        return
    trouble = cards.by_behaviour(method.hidden["behaviour"]).afterwards
    if trouble == "dispute_fraudulent":
        open_dispute(unit, charge, reason="fraudulent")
    elif trouble == "dispute_product_not_received":
        open_dispute(unit, charge, reason="product_not_received")
    elif trouble == "dispute_inquiry":
        open_dispute(unit, charge, reason="fraudulent", is_inquiry=True)
    elif trouble == "fraud_warning":
        warn(unit, charge)


def open_dispute(
    unit: UnitOfWork,
    charge: Record,
    *,
    reason: str = "fraudulent",
    amount: int | None = None,
    is_inquiry: bool = False,
) -> Record:
    """Open a dispute: `charge.dispute.created` and, unless the bank only asks, `.funds_withdrawn`.

    Args:
        unit: The unit of work.
        charge: The locked charge.
        reason: Why, such as `fraudulent`.
        amount: What is disputed, in the currency's smallest unit; the whole charge when left out.
        is_inquiry: Whether the bank only asks: no money moves.

    Raises:
        StripeError: 400 when the charge was not paid, or is disputed already.
    """
    disputed = charge.data["amount"] if amount is None else amount
    if charge.data["status"] != "succeeded":
        raise invalid("Only a charge that succeeded can be disputed.", param="charge")
    if any(one.data["status"] in _OPEN for one in unit.all("dispute", {"charge": charge.id})):
        raise invalid("This charge is disputed already.", param="charge")
    if not 1 <= disputed <= charge.data["amount"]:
        raise invalid("The disputed amount must be between 1 and that of the charge.", param="amount")
    dispute = unit.insert(_shape(unit, charge, reason, disputed, is_inquiry))
    update(unit, charge, {"disputed": True}, "charge.updated")
    unit.emit("charge.dispute.created", dispute.data)
    if not is_inquiry:
        _withdraw(unit, dispute)
    set_timer(
        unit,
        dispute.id,
        "dispute_is_due",
        dispute.data["evidence_details"]["due_by"],
        charge.data["customer"],
    )
    return dispute


def _shape(unit: UnitOfWork, charge: Record, reason: str, amount: int, is_inquiry: bool) -> Json:
    card = charge.data["payment_method_details"].get("card")
    code = _NETWORK_REASON.get(reason)
    details = {
        "brand": card["brand"],
        "case_type": "inquiry" if is_inquiry else "chargeback",
        "network": card["brand"],
        "network_reason_code": code,
    } if card else None  # fmt: skip
    return complete(
        "dispute",
        {
            "id": new_id("du"),
            "amount": amount,
            "balance_transactions": [],
            "charge": charge.id,
            "created": unit.now,
            "currency": charge.data["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": unit.now + (_INQUIRY_SECONDS if is_inquiry else _ANSWER_SECONDS),
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": is_inquiry,
            "metadata": {},
            "network_reason_code": code,
            "payment_intent": charge.data["payment_intent"],
            "payment_method_details": {"card": details, "type": "card"} if details else None,
            "reason": reason,
            "status": "warning_needs_response" if is_inquiry else "needs_response",
        },
    )


def _withdraw(unit: UnitOfWork, dispute: Record) -> None:
    booked = book(
        unit,
        dispute.data,
        "adjustment",
        -dispute.data["amount"],
        fee=DISPUTE_FEE,
        category="dispute",
        description=f"Chargeback withdrawal for {dispute.data['charge']}",
    )
    dispute.data["balance_transactions"].append(booked.data)
    unit.save(dispute)
    unit.emit("charge.dispute.funds_withdrawn", dispute.data)


# ---- how it ends -------------------------------------------------------------------------------------------


def lock_dispute(unit: UnitOfWork, dispute_id: str) -> Record:
    """Return a dispute, locked after its charge.

    Raises:
        StripeError: 404 when there is none.
    """
    unit.get("charge", unit.get("dispute", dispute_id).data["charge"], lock=True)
    return unit.get("dispute", dispute_id, lock=True)


def escalate(unit: UnitOfWork, dispute: Record) -> Json:
    """Make a locked inquiry a dispute: `charge.dispute.updated` and `.funds_withdrawn`."""
    _require(dispute, ("warning_needs_response", "warning_under_review"))
    before = snapshot(dispute.data)
    dispute.data |= {"is_charge_refundable": False, "status": "needs_response"}
    if dispute.data["payment_method_details"]:
        dispute.data["payment_method_details"]["card"]["case_type"] = "chargeback"
    dispute.data["evidence_details"]["due_by"] = unit.now + _ANSWER_SECONDS
    unit.save(dispute)
    unit.emit("charge.dispute.updated", dispute.data, changed(before, dispute.data))
    _withdraw(unit, dispute)
    _set_due(unit, dispute, dispute.data["evidence_details"]["due_by"])
    return dispute.data


def win(unit: UnitOfWork, dispute: Record) -> Json:
    """Decide a locked dispute for the merchant: `charge.dispute.funds_reinstated` and `.closed`."""
    if dispute.data["status"].startswith("warning_"):
        return close_inquiry(unit, dispute)
    _require(dispute, ("needs_response", "under_review"))
    dispute.data["status"] = "won"
    booked = book(
        unit,
        dispute.data,
        "adjustment",
        dispute.data["amount"],
        category="dispute_reversal",
        description=f"Chargeback reversal for {dispute.data['charge']}",
    )
    dispute.data["balance_transactions"].append(booked.data)
    _settle(unit, dispute)
    unit.emit("charge.dispute.funds_reinstated", dispute.data)
    unit.emit("charge.dispute.closed", dispute.data)
    return dispute.data


def lose(unit: UnitOfWork, dispute: Record) -> Json:
    """Decide a locked dispute against the merchant, or let them accept it: `charge.dispute.closed`."""
    _require(dispute, ("needs_response", "under_review"))
    dispute.data["status"] = "lost"
    _settle(unit, dispute)
    unit.emit("charge.dispute.closed", dispute.data)
    return dispute.data


def close_inquiry(unit: UnitOfWork, dispute: Record) -> Json:
    """End a locked inquiry that never became a dispute: `charge.dispute.closed`, status `warning_closed`."""
    _require(dispute, ("warning_needs_response", "warning_under_review"))
    dispute.data["status"] = "warning_closed"
    _settle(unit, dispute)
    charge = unit.get("charge", dispute.data["charge"], lock=True)
    update(unit, charge, {"disputed": False}, "charge.updated")
    unit.emit("charge.dispute.closed", dispute.data)
    return dispute.data


def _settle(unit: UnitOfWork, dispute: Record) -> None:
    dispute.data["is_charge_refundable"] = False
    unit.save(dispute)
    _set_due(unit, dispute, None)


def _set_due(unit: UnitOfWork, dispute: Record, due_by: int | None) -> None:
    customer = unit.get("charge", dispute.data["charge"]).data["customer"]
    set_timer(unit, dispute.id, "dispute_is_due", due_by, customer)


def _require(dispute: Record, statuses: Sequence[str]) -> None:
    if dispute.data["status"] not in statuses:
        raise _over(dispute)


def _over(dispute: Record) -> StripeError:
    return unexpected_state(f"This dispute's status is {dispute.data['status']}.", "dispute_unexpected_state")


@timer("dispute_is_due")
def end_in_time(unit: UnitOfWork, dispute_id: str) -> None:
    """End a dispute that nobody answered: it is lost, an inquiry is closed."""
    dispute = lock_dispute(unit, dispute_id)
    if dispute.data["status"] in ("needs_response", "under_review"):
        dispute.data["evidence_details"]["past_due"] = dispute.data["status"] == "needs_response"
        lose(unit, dispute)
    elif dispute.data["status"] in _OPEN:
        close_inquiry(unit, dispute)


# ---- calls -------------------------------------------------------------------------------------------------


@operation("GET", _PATH, "_dispute_list_params.DisputeListParams")
def list_disputes(unit: UnitOfWork, params: Parameters) -> Json:
    """List disputes, by charge or payment intent."""
    return list_objects(unit, "dispute", params, _PATH)


@operation("GET", _ONE, "_dispute_retrieve_params.DisputeRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, dispute_id: str) -> Json:
    """Return a dispute."""
    return unit.get("dispute", dispute_id).data


@operation("POST", _ONE, "_dispute_update_params.DisputeUpdateParams")
def update_dispute(unit: UnitOfWork, params: Parameters, dispute_id: str) -> Json:
    """Hand in evidence and emit `charge.dispute.updated`; Stripe's test texts decide the dispute at once."""
    only(params, ("evidence", "metadata", "submit"), "dispute update")
    dispute = lock_dispute(unit, dispute_id)
    evidence = params.get("evidence") or {}
    if evidence and dispute.data["status"] not in _OPEN:
        raise _over(dispute)
    before = snapshot(dispute.data)
    if "metadata" in params:
        dispute.data["metadata"] = merged_metadata(dispute.data["metadata"], params["metadata"])
    if evidence:
        _take_evidence(dispute, evidence, submits=params.get("submit", True))
    differing = changed(before, dispute.data)
    if differing:
        unit.save(dispute)
        unit.emit("charge.dispute.updated", dispute.data, differing)
    if dispute.data["evidence_details"]["submission_count"] > before["evidence_details"]["submission_count"]:
        _decide(unit, dispute)
    return dispute.data


def _take_evidence(dispute: Record, evidence: Parameters, *, submits: bool) -> None:
    data = dispute.data
    only(evidence, _EVIDENCE, "the evidence of a dispute")
    data["evidence"] |= {name: value or None for name, value in evidence.items()}
    data["evidence_details"]["has_evidence"] = True
    if submits:
        data["evidence_details"] |= {
            "submission_count": data["evidence_details"]["submission_count"] + 1,
            "submission_method": "manual",
        }
        is_inquiry = data["status"].startswith("warning_")
        data["status"] = "warning_under_review" if is_inquiry else "under_review"


def _decide(unit: UnitOfWork, dispute: Record) -> None:
    text = dispute.data["evidence"]["uncategorized_text"]
    if text == "winning_evidence":
        win(unit, dispute)
    elif text == "losing_evidence" and not dispute.data["status"].startswith("warning_"):
        lose(unit, dispute)
    elif text == "escalate_inquiry_evidence" and dispute.data["status"].startswith("warning_"):
        escalate(unit, dispute)


@operation("POST", _ONE + "/close", "_dispute_close_params.DisputeCloseParams")
def close(unit: UnitOfWork, _params: Parameters, dispute_id: str) -> Json:
    """Accept a dispute: it is lost; an inquiry, whose money never moved, is closed."""
    dispute = lock_dispute(unit, dispute_id)
    if dispute.data["status"].startswith("warning_"):
        return close_inquiry(unit, dispute)
    return lose(unit, dispute)
