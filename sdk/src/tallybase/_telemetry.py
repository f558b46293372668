"""Puts what a spend cost on the current OpenTelemetry span; does nothing without OpenTelemetry."""

from __future__ import annotations

from tallybase.errors import TallybaseError
from tallybase.models import Quote, Receipt

try:
    from opentelemetry import trace as _trace
except ImportError:  # pragma: no cover - depends on the environment
    _HAS_OPENTELEMETRY = False
else:
    _HAS_OPENTELEMETRY = True


def record_receipt(agent_type: str, action: str, run_id: str | None, receipt: Receipt) -> None:
    """Record a booked spend. Amounts are text, since attributes know no Decimal."""
    _record(
        {
            "tallybase.agent_type": agent_type,
            "tallybase.action": action,
            "tallybase.run_id": run_id,
            "tallybase.amount": format(receipt.amount, "f"),
            "tallybase.balance": format(receipt.balance, "f"),
            "tallybase.replayed": receipt.replayed,
            "tallybase.transaction_id": str(receipt.transaction_id),
        }
    )


def record_quote(agent_type: str, action: str, quote: Quote) -> None:
    """Record what a check said."""
    _record(
        {
            "tallybase.agent_type": agent_type,
            "tallybase.action": action,
            "tallybase.allowed": quote.allowed,
            "tallybase.refusal": quote.reason,
        }
    )


def record_refusal(agent_type: str, action: str, run_id: str | None, error: TallybaseError) -> None:
    """Record that a spend was refused or failed."""
    _record(
        {
            "tallybase.agent_type": agent_type,
            "tallybase.action": action,
            "tallybase.run_id": run_id,
            "tallybase.refusal": error.slug,
        }
    )


def _record(attributes: dict[str, str | bool | None]) -> None:
    if not _HAS_OPENTELEMETRY:
        return
    span = _trace.get_current_span()
    if span.is_recording():
        span.set_attributes({name: value for name, value in attributes.items() if value is not None})
