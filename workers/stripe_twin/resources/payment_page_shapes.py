"""What a payment page shows: the checkout session in the shape that Stripe.js gives to the merchant's page.

Source: https://docs.stripe.com/js/custom_checkout/session_object
"""

from __future__ import annotations

from stripe_twin import bank_accounts, cards
from stripe_twin.amounts import decimals, money
from stripe_twin.periods import DAY
from stripe_twin.resources.checkout_payment import wants_method
from stripe_twin.resources.checkout_totals import lines_of
from stripe_twin.resources.invoice_lines import amount_of
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_HINTED = ("visa", "authentication_always", "declined", "insufficient_funds")


def page_shape(unit: UnitOfWork, session: Record) -> Json:
    """Return a session's payment page; the twin's own shape but for `session`."""
    data = session.data
    return {
        "accounts": _hinted_accounts(data),
        "cards": [{"number": card.number, "hint": card.hint} for card in map(cards.by_behaviour, _HINTED)],
        "id": data["id"].replace("cs_test", "ppage", 1),
        "livemode": False,
        "merchant": unit.settings.merchant_name,
        "mode": data["mode"],
        "object": "payment_page",
        "offers_saving": offers_saving(data),
        "payment_intent": _intent(unit, "payment_intent", session),
        "payment_method_types": data["payment_method_types"],
        "return_url": str(data["return_url"] or data["success_url"]).replace(
            "{CHECKOUT_SESSION_ID}", data["id"]
        ),
        "session": session_shape(unit, session),
        "setup_intent": _intent(unit, "setup_intent", session),
        "wants_payment_method": wants_method(data),
    }


def offers_saving(session: Json) -> bool:
    """Whether a customer may tick a box to keep the payment method for next time."""
    options = session["saved_payment_method_options"] or {}
    return bool(session["customer"]) and options.get("payment_method_save") == "enabled"


def saved_methods(unit: UnitOfWork, session: Record) -> list[Record]:
    """Return the saved cards that a session's customer may choose from, newest first."""
    customer_id, options = session.data["customer"], session.data["saved_payment_method_options"] or {}
    if not customer_id:
        return []
    filters = options.get("allow_redisplay_filters") or ["always"]
    cards_of_customer = unit.all("payment_method", {"customer": customer_id, "type": "card"})
    return [one for one in reversed(cards_of_customer) if one.data["allow_redisplay"] in filters]


def _hinted_accounts(data: Json) -> list[Json]:
    return [
        {"kind": one.kind, "number": one.number, "hint": one.hint}
        for one in bank_accounts.TEST_ACCOUNTS
        if one.kind in data["payment_method_types"]
    ]


def _intent(unit: UnitOfWork, kind: str, session: Record) -> Json | None:
    known = session.hidden.get(kind)
    return unit.get(kind, known).data if known else None


def session_shape(unit: UnitOfWork, session: Record) -> Json:
    """Return a session as `checkout.getSession()` gives it in the merchant's page."""
    data = session.data
    currency = data["currency"] or "usd"
    details = data["customer_details"] or {}
    lines = [line.data for line in lines_of(unit, session.id)]
    totals = data["total_details"] or {"amount_discount": 0, "amount_tax": 0}
    intent = _intent(unit, "payment_intent", session) or _intent(unit, "setup_intent", session) or {}
    last_error = intent.get("last_payment_error") or intent.get("last_setup_error")

    saved = [_saved(one.data) for one in saved_methods(unit, session)]
    return {
        "billingAddress": _contact(details),
        "businessName": None,
        "canConfirm": data["status"] == "open" and bool(details.get("email")),
        "currency": currency,
        "currencyOptions": None,
        "discountAmounts": _discounts(unit, data) or None,
        "email": details.get("email"),
        "id": data["id"],
        "lastPaymentError": {"message": last_error["message"]} if last_error else None,
        "lineItems": [_line(line, currency) for line in lines],
        "livemode": False,
        "minorUnitsAmountDivisor": 10 ** decimals(currency),
        "nameCollection": None,
        "optionalItems": None,
        "phoneNumber": details.get("phone"),
        "recurring": _recurring(unit, session, lines, currency),
        "savedPaymentMethods": saved or None,
        "shipping": None,
        "shippingAddress": None,
        "shippingOptions": [],
        "status": _status(data),
        "surcharge": None,
        "tax": {"status": _tax_status(data)},
        "taxAmounts": None,
        "taxIdInfo": None,
        "total": {
            "appliedBalance": _amount(0, currency),
            "balanceAppliedToNextInvoice": False,
            "discount": _amount(totals["amount_discount"], currency),
            "shippingRate": _amount(0, currency),
            "subtotal": _amount(data["amount_subtotal"] or 0, currency),
            "surcharge": _amount(0, currency),
            "taxExclusive": _amount(totals["amount_tax"], currency),
            "taxInclusive": _amount(0, currency),
            "total": _amount(data["amount_total"] or 0, currency),
        },
    }


def _amount(value: int, currency: str) -> Json:
    return {"amount": money(value, currency), "minorUnitsAmount": value}


def _status(data: Json) -> Json:
    if data["status"] == "complete":
        return {"type": "complete", "paymentStatus": data["payment_status"]}
    return {"type": data["status"]}


def _tax_status(data: Json) -> str:
    is_open = (data["automatic_tax"] or {}).get("status") == "requires_location_inputs"
    return "requires_billing_address" if is_open else "ready"


def _contact(details: Json) -> Json | None:
    place = details.get("address")
    if not place or not place.get("country"):
        return None
    return {"name": details.get("name"), "address": place}


def _saved(method: Json) -> Json:
    card, billing = method["card"], method["billing_details"]
    return {
        "billingDetails": {name: billing[name] for name in ("address", "email", "name", "phone")},
        "card": {
            "brand": card["brand"],
            "expMonth": card["exp_month"],
            "expYear": card["exp_year"],
            "last4": card["last4"],
        },
        "id": method["id"],
        "type": "card",
    }


def _line(line: Json, currency: str) -> Json:
    price, recurring = line["price"], line["price"]["recurring"]
    return {
        "adjustableQuantity": None,
        "description": None,
        "discount": _amount(line["amount_discount"], currency),
        "discountAmounts": None,
        "id": line["id"],
        "images": [],
        "isRemovable": False,
        "name": line["description"],
        "priceId": price["id"],
        "pricing": None,
        "quantity": line["quantity"],
        "recurring": _interval(recurring) | {"usageType": "licensed"} if recurring else None,
        "subtotal": _amount(line["amount_subtotal"], currency),
        "taxAmounts": None,
        "taxExclusive": _amount(line["amount_tax"], currency),
        "taxInclusive": _amount(0, currency),
        "total": _amount(line["amount_total"], currency),
        "transformQuantity": None,
        "unitAmount": _amount(price["unit_amount"] or 0, currency),
        "unitAmountDecimal": None,
        "unitLabel": None,
    }


def _interval(recurring: Json) -> Json:
    return {"interval": recurring["interval"], "intervalCount": recurring["interval_count"]}


def _recurring(unit: UnitOfWork, session: Record, lines: list[Json], currency: str) -> Json | None:
    """Return what a subscription costs at its next payment, and its trial."""
    plans = [line for line in lines if line["price"]["recurring"]]
    if not plans:
        return None
    given = session.hidden.get("subscription_data") or {}
    days = given.get("trial_period_days")
    end = given.get("trial_end") or (unit.now + days * DAY if days else None)
    due = sum(amount_of(line["price"], line["quantity"]) for line in plans)

    trial = {"trialEnd": end, "trialPeriodDays": days or (end - unit.now) // DAY} if end else None
    return {
        **_interval(plans[0]["price"]["recurring"]),
        "dueNext": {
            "billingCycleAnchor": end,
            "discount": _amount(0, currency),
            "subtotal": _amount(due, currency),
            "taxExclusive": _amount(0, currency),
            "taxInclusive": _amount(0, currency),
            "total": _amount(due, currency),
        },
        "isProrated": False,
        "trial": trial,
    }


def _discounts(unit: UnitOfWork, data: Json) -> list[Json]:
    shown = []
    for one in data["discounts"] or []:
        coupon = unit.get("coupon", one["coupon"]).data
        code = unit.get("promotion_code", one["promotion_code"]).data if one["promotion_code"] else None
        taken = data["total_details"]["amount_discount"]
        shown.append(
            {
                **_amount(taken, data["currency"]),
                "displayName": code["code"] if code else coupon["name"] or "Discount",
                "percentOff": coupon["percent_off"],
                "promotionCode": code["code"] if code else None,
                "recurring": _duration(coupon),
            }
        )
    return shown


def _duration(coupon: Json) -> Json | None:
    if coupon["duration"] == "repeating":
        return {"type": "repeating", "durationInMonths": coupon["duration_in_months"]}
    return {"type": "forever"} if coupon["duration"] == "forever" else None
