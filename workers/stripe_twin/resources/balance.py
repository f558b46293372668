"""Balance transactions: what each charge, refund and dispute does to the merchant's balance at Stripe.

Source: https://docs.stripe.com/api/balance_transactions
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.periods import DAY
from stripe_twin.resources.common import list_objects
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/balance_transactions"
_FEE_PERCENT = Decimal("2.9")
_FEE_FIXED = 30
DISPUTE_FEE = 1500
_AVAILABLE_AFTER_SECONDS = 2 * DAY
_CATEGORY = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund_failure",
    "payment_failure_refund": "refund_failure",
}


def card_fee(amount: int) -> int:
    """Return Stripe's usual fee for a payment by card, in the currency's smallest unit."""
    share = (Decimal(amount) * _FEE_PERCENT / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return int(share) + _FEE_FIXED


def book(
    unit: UnitOfWork,
    source: Json,
    kind: str,
    amount: int,
    *,
    fee: int = 0,
    category: str | None = None,
    description: str | None = None,
) -> Record:
    """Store a movement of the merchant's balance.

    Args:
        unit: The unit of work.
        source: The charge, refund or dispute that moves money.
        kind: `charge`, `refund`, `refund_failure` or `adjustment`.
        amount: Positive for money that comes in, in the currency's smallest unit.
        fee: What Stripe keeps.
        category: `reporting_category`, where the kind does not say it.
        description: What it is for.
    """
    detail = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": "Dispute fee" if category == "dispute" else "Stripe processing fees",
        "type": "stripe_fee",
    }
    return unit.insert(
        complete(
            "balance_transaction",
            {
                "id": new_id("txn"),
                "amount": amount,
                "available_on": unit.now + _AVAILABLE_AFTER_SECONDS,
                "balance_type": "payments",
                "created": unit.now,
                "currency": source["currency"],
                "description": description,
                "fee": fee,
                "fee_details": [detail] if fee else [],
                "net": amount - fee,
                "reporting_category": category or _CATEGORY[kind],
                "source": source["id"],
                "status": "pending",
                "type": kind,
            },
        )
    )


@operation("GET", _PATH, "_balance_transaction_list_params.BalanceTransactionListParams")
def list_transactions(unit: UnitOfWork, params: Parameters) -> Json:
    """List balance transactions, by source, type or currency."""
    return list_objects(unit, "balance_transaction", params, _PATH)


@operation(
    "GET",
    _PATH + "/<transaction_id>",
    "_balance_transaction_retrieve_params.BalanceTransactionRetrieveParams",
)
def retrieve(unit: UnitOfWork, _params: Parameters, transaction_id: str) -> Json:
    """Return a balance transaction."""
    return unit.get("balance_transaction", transaction_id).data
