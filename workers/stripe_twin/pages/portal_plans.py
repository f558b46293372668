"""The plan on the customer's page: change it, with what that costs shown first; cancel it, and undo that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from stripe_twin.context import Twin
from stripe_twin.errors import StripeError
from stripe_twin.pages.portal_session import PortalSession, finish, open_session, unknown
from stripe_twin.pages.rendering import page, see_other
from stripe_twin.periods import spoken_date
from stripe_twin.resources.invoices import create_preview
from stripe_twin.resources.subscription_changes import update_subscription
from stripe_twin.resources.subscription_states import FINAL, items_of, lock_subscription
from stripe_twin.resources.subscriptions import cancel as cancel_now
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_REASONS = {
    "customer_service": "Customer service was less than expected",
    "low_quality": "Quality was less than expected",
    "missing_features": "I need more features",
    "other": "Other reason",
    "switched_service": "I found an alternative",
    "too_complex": "Ease of use was less than expected",
    "too_expensive": "It is too expensive",
    "unused": "I no longer need it",
}
_RULE = "/subscriptions/<subscription_id>"


def add_routes(routes: Blueprint, twin: Twin) -> None:
    """Add the routes below a portal session's address."""
    plans = _Plans(twin)
    for rule, view, method in (
        ("/cancel", plans.show_cancel, "GET"),
        ("/cancel", plans.cancel, "POST"),
        ("/resume", plans.resume, "POST"),
        ("/update", plans.choose, "GET"),
        ("/update/confirm", plans.show_update, "GET"),
        ("/update/confirm", plans.update, "POST"),
    ):
        routes.add_url_rule(_RULE + rule, endpoint=view.__name__, view_func=view, methods=[method])


def priced(unit: UnitOfWork, price: Json) -> Json:
    """Return a price with its product's name, for the page."""
    product = unit.get("product", price["product"]).data
    return {**price, "description": product["description"], "name": product["name"]}


class _Plans:
    """The plans of one twin's customers."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    # ---- cancel --------------------------------------------------------------------------------------------

    def show_cancel(self, token: str, subscription_id: str) -> Response:
        """Say what canceling does, and ask."""
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_cancel")
            if found is None or found[1].data["cancel_at"] is not None:
                return unknown(self._twin)
            session, subscription = found
            feature = session.features["subscription_cancel"]
            reasons = feature["cancellation_reason"]
            return self._page(
                "portal_cancel.html",
                session,
                prices=[priced(unit, item["price"]) for item in items_of(subscription)],
                ends=spoken_date(max(item["current_period_end"] for item in items_of(subscription))),
                at_once=feature["mode"] == "immediately",
                reasons=[(name, _REASONS[name]) for name in reasons["options"]] if reasons["enabled"] else [],
            )

    def cancel(self, token: str, subscription_id: str) -> Response:
        """Cancel as the configuration says: at the period's end, or now."""
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_cancel")
            if found is None or found[1].data["cancel_at"] is not None:
                return unknown(self._twin)
            session, subscription = found
            feature = session.features["subscription_cancel"]
            said = {"comment": request.form.get("comment", "")[:500]}
            if request.form.get("feedback") in feature["cancellation_reason"]["options"]:
                said["feedback"] = request.form["feedback"]
            if feature["mode"] == "immediately":
                prorates = feature["proration_behavior"] != "none"
                at_once = feature["proration_behavior"] == "always_invoice"
                options = {"cancellation_details": said, "invoice_now": at_once, "prorate": prorates}
                cancel_now(unit, options, subscription_id)
            else:  # Stripe's own page sets cancel_at alone
                ending = {"cancel_at": "max_period_end", "cancellation_details": said}
                update_subscription(unit, subscription, ending)
            return finish(unit, session)

    def resume(self, token: str, subscription_id: str) -> Response:
        """Undo a planned end."""
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_cancel")
            if found is None or found[1].data["cancel_at"] is None:
                return unknown(self._twin)
            session, subscription = found
            update_subscription(unit, subscription, {"cancel_at": ""})
            return see_other(session.path)

    # ---- change --------------------------------------------------------------------------------------------

    def choose(self, token: str, subscription_id: str) -> Response:
        """Show the plans to change to."""
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_update")
            if found is None:
                return unknown(self._twin)
            session, subscription = found
            current = items_of(subscription)[0]["price"]
            return self._page(
                "portal_update.html",
                session,
                action=f"{session.path}/subscriptions/{subscription_id}/update/confirm",
                current=priced(unit, current),
                choices=[priced(unit, price) for price in _choices(unit, session, current)],
            )

    def show_update(self, token: str, subscription_id: str) -> Response:
        """Show what the change costs, and when, before it is made."""
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_update")
            items = _items(unit, *found) if found else None
            if found is None or items is None:
                return unknown(self._twin)
            return self._confirmation(unit, *found, items, None, 200)

    def update(self, token: str, subscription_id: str) -> Response:
        """Make the change; one that is not paid is not made."""

        def change(
            unit: UnitOfWork, session: PortalSession, subscription: Record, items: list[Json]
        ) -> Response:
            params: Json = {"items": items, "payment_behavior": "error_if_incomplete"}
            params["proration_behavior"] = session.features["subscription_update"]["proration_behavior"]
            update_subscription(unit, subscription, params)
            return finish(unit, session)

        try:
            return self._with_items(token, subscription_id, change)
        except StripeError as refusal:
            problem, status = refusal.message, refusal.status
        return self._with_items(
            token,
            subscription_id,
            lambda unit, session, subscription, items: self._confirmation(
                unit, session, subscription, items, problem, status
            ),
        )

    def _with_items(
        self,
        token: str,
        subscription_id: str,
        act: Callable[[UnitOfWork, PortalSession, Record, list[Json]], Response],
    ) -> Response:
        with self._twin.unit() as unit:
            found = _find(unit, token, subscription_id, "subscription_update")
            items = _items(unit, *found) if found else None
            if found is None or items is None:
                return unknown(self._twin)
            return act(unit, *found, items)

    def _confirmation(
        self,
        unit: UnitOfWork,
        session: PortalSession,
        subscription: Record,
        items: list[Json],
        problem: str | None,
        status: int,
    ) -> Response:
        behavior = session.features["subscription_update"]["proration_behavior"]
        details = {"items": items, "proration_behavior": behavior}
        preview = create_preview(unit, {"subscription": subscription.id, "subscription_details": details})
        after = unit.get("price", items[0]["price"]).data
        return self._page(
            "portal_confirm.html",
            session,
            status,
            problem=problem,
            before=priced(unit, items_of(subscription)[0]["price"]),
            after=priced(unit, after),
            price=after["id"],
            preview=preview,
            is_due_now=preview["period_end"] <= unit.now,
            spoken_date=spoken_date,
            renews=spoken_date(max(item["current_period_end"] for item in items_of(subscription))),
        )

    def _page(self, template: str, session: PortalSession, status: int = 200, **values: Any) -> Response:
        merchant = self._twin.settings.merchant_name
        return page(
            template,
            status,
            merchant=merchant,
            session=session.data,
            path=session.path,
            back=session.back,
            **values,
        )


def _find(
    unit: UnitOfWork, token: str, subscription_id: str, feature: str
) -> tuple[PortalSession, Record] | None:
    """Return the session and its customer's running subscription, locked; None for anything else."""
    session = open_session(unit, token)
    if session is None or not session.allows(feature):
        return None
    subscription = unit.find("subscription", subscription_id)
    if subscription is None or subscription.data["customer"] != session.customer_id:
        return None
    if subscription.data["status"] in FINAL:
        return None
    return session, lock_subscription(unit, subscription_id)


def _choices(unit: UnitOfWork, session: PortalSession, current: Json) -> list[Json]:
    """Return the prices to change to: those that the configuration names, or all that fit."""
    named = {
        price
        for product in session.features["subscription_update"]["products"] or []
        for price in product["prices"]
    }
    prices = [one.data for one in unit.all("price", {"active": True, "currency": current["currency"]})]
    fitting = [
        one for one in prices if one["recurring"] and (one["id"] in named if named else _is_sold(unit, one))
    ]
    return sorted(fitting, key=lambda one: one["unit_amount"] or 0)


def _is_sold(unit: UnitOfWork, price: Json) -> bool:
    product = unit.find("product", price["product"])
    return product is not None and not product.deleted and bool(product.data["active"])


def _items(unit: UnitOfWork, session: PortalSession, subscription: Record) -> list[Json] | None:
    """Return the change asked for: the flow's own, or the price chosen; None when it is none to choose."""
    if session.flow is not None and session.flow["type"] == "subscription_update_confirm":
        task = session.flow["subscription_update_confirm"]
        given = [{name: value for name, value in one.items() if value is not None} for one in task["items"]]
        return [{"price": items_of(subscription)[0]["price"]["id"], **one} for one in given]
    item = items_of(subscription)[0]
    wanted = request.values.get("price", "")
    known = {one["id"] for one in _choices(unit, session, item["price"])}
    return [{"id": item["id"], "price": wanted}] if wanted in known - {item["price"]["id"]} else None
