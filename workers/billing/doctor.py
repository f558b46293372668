"""Is everything set for money? Each line of the go-live checklist that a program can check, checked.

`tallybase doctor` prints these lines (by POST check_money_settings); `python -m billing.doctor` does, too.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
import stripe
from flask import Request

from billing import database, http, logs
from billing.errors import WorkerError
from billing.events import RULES
from billing.operators import require_operator
from billing.settings import Settings, get_settings
from billing.stripe_client import get_client

_DAY_SECONDS = 86_400
_TIMEOUT_SECONDS = 10
#: The scheduler's quarter of an hour, twice, and a little.
_RECONCILED_WITHIN = timedelta(minutes=35)
#: Without these everything but invitations by mail and tokens for agents works.
_OPTIONAL = frozenset({"send_invitation", "exchange_agent_key"})

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        verdict: ok, warning (works, and should be looked at) or problem (money would go wrong).
        subject: what was looked at.
        finding: what was found, and what to do about it.
    """

    verdict: Verdict
    subject: str
    finding: str

    def __str__(self) -> str:
        mark = {"ok": "✓", "warning": "!", "problem": "✗"}[self.verdict]
        return f"{mark} {self.subject}: {self.finding}"


def examine() -> list[Line]:
    """Run every check; none stops the others."""
    settings = get_settings()
    return [
        line
        for check in (
            lambda: _settings(settings),
            lambda: _account(settings),
            _endpoints,
            _deliveries,
            lambda: _portal(settings),
            _prices,
            _inbox,
            lambda: _scheduler(settings),
        )
        for line in _guarded(check)
    ]


def _guarded(check: Callable[[], Iterator[Line]]) -> list[Line]:
    try:
        return list(check())
    except stripe.StripeError as error:
        said = error.code or error.http_status or "no answer"
        return [Line("problem", "Stripe", f"{type(error).__name__}: {said}")]
    except WorkerError as error:
        return [Line("problem", "Database", f"{error.slug}: {error.hint}")]


def _settings(settings: Settings) -> Iterator[Line]:
    yield Line("ok", "Mode", settings.mode)
    if not settings.webhook_secrets:
        yield Line("problem", "Webhook secret", "STRIPE_WEBHOOK_SECRET is not set: every event is refused.")
    else:
        yield Line("ok", "Webhook secret", f"{len(settings.webhook_secrets)} in force")
    if settings.livemode and not settings.frontend_url.startswith("https://"):
        yield Line("problem", "FRONTEND_URL", "is not https; people return there from paying.")


def _account(settings: Settings) -> Iterator[Line]:
    if settings.stripe_secret_key is None:
        yield Line("ok", "Account", "the twin: no money moves")
        return
    account = get_client().v1.accounts.retrieve_current()
    verdict: Verdict = "ok" if account.charges_enabled or not settings.livemode else "problem"
    yield Line(verdict, "Account", f"charges are {'on' if account.charges_enabled else 'off'}")
    shown = account.settings
    if shown is None or not shown.dashboard.display_name:
        yield Line("warning", "Branding", "the account has no name: people do not see who charges them.")
    elif not (shown.branding.icon or shown.branding.logo):
        yield Line("warning", "Branding", f"{shown.dashboard.display_name}, without an icon or a logo")
    else:
        yield Line("ok", "Branding", str(shown.dashboard.display_name))


def _endpoints() -> Iterator[Line]:
    endpoints = [
        endpoint
        for endpoint in get_client().v1.webhook_endpoints.list({"limit": 100}).data
        if endpoint.status == "enabled"
    ]
    if not endpoints:
        yield Line(
            "problem", "Webhook endpoint", "there is none: nothing that happens at Stripe is heard of."
        )
    wanted = set(RULES)
    for endpoint in endpoints:
        if endpoint.api_version != stripe.api_version:
            yield Line(
                "warning",
                f"Endpoint {endpoint.url}",
                f"sends version {endpoint.api_version}, ours is {stripe.api_version}: make it anew.",
            )
        heard = set(endpoint.enabled_events)
        missing = set() if "*" in heard else wanted - heard
        if missing:
            yield Line("problem", f"Endpoint {endpoint.url}", f"does not send {', '.join(sorted(missing))}")
        else:
            yield Line(
                "ok", f"Endpoint {endpoint.url}", f"sends all {len(wanted)} events at {endpoint.api_version}"
            )
    answers = {endpoint.url: _answer_to_nobody(endpoint.url) for endpoint in endpoints}
    for url, said in answers.items():
        if said is not None:
            yield Line("warning", f"Endpoint {url}", f"does not answer as our webhook does: {said}.")
    ours = [url for url, said in answers.items() if said is None]
    if answers and not ours:
        yield Line("problem", "Webhook endpoint", "none of them answers as ours does, asked from here.")
    elif ours:
        yield from _functions(ours[0].rpartition("/")[0])


def _functions(base: str) -> Iterator[Line]:
    """Whether the other entry points stand beside the webhook; one that wants a credential is there."""
    wanted = [name for name in http.entry_points() if name not in _OPTIONAL]
    missing = [name for name in wanted if _is_missing(f"{base}/{name}")]
    if missing:
        yield Line("warning", "Functions", f"not found beside the webhook: {', '.join(missing)}.")
    elif wanted:
        yield Line("ok", "Functions", f"all {len(wanted)} stand beside the webhook")


def _is_missing(url: str) -> bool:
    try:
        return httpx.options(url, timeout=_TIMEOUT_SECONDS).status_code == 404
    except httpx.HTTPError:
        return True


def _answer_to_nobody(url: str) -> str | None:
    """What an address answers to a call that nobody signed; None when it refuses it as our webhook does."""
    try:
        answer = httpx.post(url, json={}, timeout=_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        return type(error).__name__
    if answer.status_code == 400 and '"invalid_signature"' in answer.text:
        return None
    return f"HTTP {answer.status_code} to a call without a signature"


def _deliveries() -> Iterator[Line]:
    since = int(time.time()) - _DAY_SECONDS
    undelivered = get_client().v1.events.list(
        {"delivery_success": False, "created": {"gte": since}, "limit": 100}
    )
    missed = [event.type for event in undelivered.data if event.type in RULES]
    if missed:
        more = " or more" if undelivered.has_more else ""
        yield Line(
            "warning",
            "Deliveries",
            f"{len(missed)}{more} of the last day's events have not arrived: is STRIPE_WEBHOOK_SECRET the "
            "endpoint's? The reconciler catches up with them.",
        )
    else:
        yield Line("ok", "Deliveries", "all of the last day's events have arrived")


def _portal(settings: Settings) -> Iterator[Line]:
    found = get_client().v1.billing_portal.configurations.list({"active": True, "is_default": True}).data
    if not found:
        verdict: Verdict = "warning" if settings.stripe_secret_key is None else "problem"
        yield Line(
            verdict, "Customer portal", "is not configured: people cannot change cards or cancel there."
        )
        return
    features = found[0].features
    if features.subscription_cancel.enabled and features.subscription_cancel.mode != "at_period_end":
        yield Line("warning", "Customer portal", "cancels at once: what was paid for is lost on the spot.")
    update = features.subscription_update
    if update.enabled and update.proration_behavior not in ("always_invoice", "none"):
        yield Line(
            "warning", "Customer portal", "bills upgrades with the next renewal: credits come only then."
        )
    yield Line("ok", "Customer portal", "is configured")


def _prices() -> Iterator[Line]:
    rows = database.call("list_catalogue", {"livemode": get_settings().livemode})
    entries = rows if isinstance(rows, list) else []
    unsold = [str(row.get("key")) for row in entries if not row.get("stripe_price_id")]
    if unsold:
        yield Line("warning", "Catalogue", f"no price at Stripe yet for {', '.join(unsold)}.")
    else:
        yield Line("ok", "Catalogue", "every plan and pack has its price at Stripe")


def _inbox() -> Iterator[Line]:
    for status in ("parked", "failed"):
        rows = database.call("list_stripe_events", {"status": status, "limit": 100})
        count = len(rows) if isinstance(rows, list) else 0
        if count:
            yield Line("warning", "Stripe's inbox", f"{count} {status}: look at them, then replay them.")
    if not any(database.call("list_stripe_events", {"status": s, "limit": 1}) for s in ("parked", "failed")):
        yield Line("ok", "Stripe's inbox", "nothing failed or parked")


def _scheduler(settings: Settings) -> Iterator[Line]:
    """Whether somebody calls what has to be called again and again."""
    told = database.call("last_reconciliation", {"livemode": settings.livemode})
    last = datetime.fromisoformat(str(told)) if told else None
    if last is None:
        yield Line(
            "warning", "Reconciler", "has never run: a scheduler calls reconcile_stripe every 15 minutes."
        )
    elif datetime.now(UTC) - last > _RECONCILED_WITHIN:
        yield Line("warning", "Reconciler", f"ran last at {last:%Y-%m-%d %H:%M} UTC: does nothing call it?")
    else:
        yield Line("ok", "Reconciler", f"ran last at {last:%H:%M} UTC")
    due = database.call("due_auto_topups", {"limit": 100})
    if due:
        count = len(due) if isinstance(due, list) else 1
        finding = f"{count} due: if they are in a minute, too, nothing calls start_auto_topups."
        yield Line("warning", "Automatic top-ups", finding)
    else:
        yield Line("ok", "Automatic top-ups", "none waits")


def answer(request: Request) -> http.Answer:
    """Handle POST check_money_settings, for the holder of the secret key.

    Raises:
        WorkerError: 403.
    """
    require_operator(request)
    return http.Answer({"lines": [asdict(line) for line in examine()]})


def main() -> int:
    """Print the lines; 1 when there is a problem."""
    importlib.import_module("main")  # which makes the entry points
    lines = examine()
    for line in lines:
        print(line)
    return int(any(line.verdict == "problem" for line in lines))


if __name__ == "__main__":
    logs.configure()
    sys.exit(main())
