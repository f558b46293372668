"""Charges: attempts to move money, made by payment intents.

Source: https://docs.stripe.com/api/charges
"""

from __future__ import annotations

from typing import Any

from stripe_twin import cards
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.balance import book, card_fee
from stripe_twin.resources.common import list_objects, only, simple_changes, update
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/charges"


def create_charge(
    unit: UnitOfWork,
    intent: Json,
    method: Record,
    *,
    decline: cards.Decline | None,
    authenticated: bool,
    pending: bool = False,
) -> Record:
    """Store the charge of one attempt and emit `charge.succeeded`, `charge.failed` or `charge.pending`.

    Args:
        unit: The unit of work.
        intent: The payment intent that is being paid.
        method: The payment method charged.
        decline: The issuer's refusal; None when it paid.
        authenticated: Whether the customer passed a 3-D Secure challenge for it.
        pending: Whether the money is on its way for some days; see `finish_charge`.
    """
    paid = decline is None and not pending
    charge_id = new_id("ch")
    charge = complete(
        "charge",
        {
            "id": charge_id,
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid or pending else 0,
            "amount_refunded": 0,
            "billing_details": method.data["billing_details"],
            "calculated_statement_descriptor": _descriptor(unit, intent),
            "captured": paid or pending,
            "created": unit.now,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": None if decline is None else decline.code,
            "failure_message": None if decline is None else decline.message,
            "fraud_details": {},
            "metadata": intent["metadata"],
            "outcome": _outcome(decline),
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method.id,
            "payment_method_details": _method_details(intent, method, authenticated),
            "radar_options": {},
            "receipt_email": intent["receipt_email"],
            "receipt_url": f"{unit.settings.public_url}/receipts/{charge_id}" if paid else None,
            "refunded": False,
            "shipping": intent["shipping"],
            "statement_descriptor": intent["statement_descriptor"],
            "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
            "status": "pending" if pending else "succeeded" if paid else "failed",
            "transfer_group": intent["transfer_group"],
        },
    )
    record = unit.insert(charge)
    unit.emit(f"charge.{charge['status']}", charge)
    if paid:
        _book(unit, record)
    return record


def _book(unit: UnitOfWork, charge: Record) -> None:
    """Put a charge's money on the merchant's balance, right after the payment, and emit `charge.updated`."""
    amount = charge.data["amount"]
    is_card = charge.data["payment_method_details"]["type"] == "card"
    booked = book(unit, charge.data, "charge" if is_card else "payment", amount, fee=card_fee(amount))
    update(unit, charge, {"balance_transaction": booked.id}, "charge.updated")


def finish_charge(unit: UnitOfWork, charge: Record, decline: cards.Decline | None) -> None:
    """End a locked pending charge: the money is here (`charge.succeeded`) or came back (`charge.failed`)."""
    paid = decline is None
    charge.data |= {
        "amount_captured": charge.data["amount"] if paid else 0,
        "captured": paid,
        "failure_code": None if decline is None else decline.code,
        "failure_message": None if decline is None else decline.message,
        "outcome": _outcome(decline),
        "paid": paid,
        "receipt_url": f"{unit.settings.public_url}/receipts/{charge.id}" if paid else None,
        "status": "succeeded" if paid else "failed",
    }
    unit.save(charge)
    unit.emit(f"charge.{charge.data['status']}", charge.data)
    if paid:
        _book(unit, charge)


def _descriptor(unit: UnitOfWork, intent: Json) -> str:
    text: str = intent["statement_descriptor"] or unit.settings.merchant_name
    return text.upper()[:22]


def _outcome(decline: cards.Decline | None) -> Json:
    base: dict[str, Any] = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is not None:
        base |= {
            "advice_code": decline.advice_code,
            "network_decline_code": "05" if decline.advice_code else None,
            "network_status": "declined_by_network",
            "reason": decline.decline_code or decline.code,
            "seller_message": "The bank did not accept this payment.",
            "type": "issuer_declined",
        }
    return base


def _method_details(intent: Json, method: Record, authenticated: bool) -> Json:
    kind = method.data["type"]
    if kind != "card":
        return {"type": kind, kind: _account_details(method.data[kind], kind)}
    card = method.data["card"]
    shown = {
        name: card[name]
        for name in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    nothing = (
        "authorization_code",
        "description",
        "iin",
        "installments",
        "issuer",
        "mandate",
        "network_transaction_id",
    )
    passed = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": random_text(24),
        "version": "2.2.0",
    }
    return {
        "type": "card",
        "card": {
            **shown,
            **dict.fromkeys(nothing),
            "amount_authorized": intent["amount"],
            "checks": card["checks"],
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "regulated_status": card["regulated_status"],
            "three_d_secure": passed if authenticated else None,
            "wallet": None,
        },
    }


def _account_details(account: Json, kind: str) -> Json:
    nothing: Json = {"expected_debit_date": None, "mandate": None}
    names: tuple[str, ...] = ("bank_code", "branch_code", "country", "fingerprint", "last4")
    if kind == "us_bank_account":
        names = (
            "account_holder_type",
            "account_type",
            "bank_name",
            "fingerprint",
            "last4",
            "routing_number",
        )
        nothing["payment_reference"] = None
    return {**nothing, **{name: account[name] for name in names}}


@operation("GET", _PATH, "_charge_list_params.ChargeListParams")
def list_charges(unit: UnitOfWork, params: Parameters) -> Json:
    """List charges, by customer or payment intent."""
    return list_objects(unit, "charge", params, _PATH)


@operation("GET", _PATH + "/<charge_id>", "_charge_retrieve_params.ChargeRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, charge_id: str) -> Json:
    """Return a charge."""
    return unit.get("charge", charge_id).data


@operation("POST", _PATH + "/<charge_id>", "_charge_update_params.ChargeUpdateParams")
def update_charge(unit: UnitOfWork, params: Parameters, charge_id: str) -> Json:
    """Change a charge's description, receipt address or metadata and emit `charge.updated`."""
    only(params, ("description", "metadata", "receipt_email"), "charge update")
    record = unit.get("charge", charge_id, lock=True)
    changes = simple_changes(params, record.data, ("description", "receipt_email"))
    return update(unit, record, changes, "charge.updated")
