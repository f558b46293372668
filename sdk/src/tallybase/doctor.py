"""Checks of an agent's set-up, each with the line that mends it: what `tallybase doctor` prints."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tallybase import _calls, _settings, errors
from tallybase._wire import TransportFailure, read
from tallybase.client import Credits
from tallybase.management import Management
from tallybase.operations import Operations
from tallybase.transport import Transport

State = Literal["ok", "warning", "problem", "skipped"]

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_TIME_LIMIT_SECONDS = 5.0
_MAX_SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: `ok`, `warning`, `problem` or `skipped`.
        message: what was found.
        fix: what to do, or an empty string.
    """

    check: str
    state: State
    message: str
    fix: str = ""


def examine(
    environment: Mapping[str, str] | None = None, transport: Transport | None = None
) -> list[Finding]:
    """Run all checks that the settings allow. Changes nothing.

    Args:
        environment: instead of `os.environ`.
        transport: how requests travel; default: a connection of its own.
    """
    try:
        client = Credits.from_env(environment, transport=transport, outbox=None)
    except errors.ConfigurationError as error:
        fix = "The keys are in the project's settings; the local stack prints them with `make env`."
        return [Finding("settings", "problem", str(error), fix)]
    with client:
        findings = [_settings_finding(environment, client), _encryption(client)]
        connection = list(_connection(client))
        findings += connection
        if not any(finding.state == "problem" for finding in connection):
            findings += [_attempted("balance", _balance, client), _attempted("ledger", _ledger, client)]
            findings += list(_money(client))
    return findings


def _settings_finding(environment: Mapping[str, str] | None, client: Credits) -> Finding:
    found = _settings.from_environment(environment)
    if found.agent_key:
        return Finding("settings", "ok", "an agent key and a publishable key")
    if found.access_token:
        return Finding("settings", "ok", "a person's access token")
    if found.key.startswith("sb_secret_"):
        if client.organization_id is None:
            fix = f"Set {_settings.ORGANIZATION_ID} to look at one, too."
            return Finding("settings", "ok", "a secret key: looks at the whole installation", fix)
        message = "a secret key: right for a service, wrong for an agent"
        return Finding(
            "settings", "warning", message, f"Give agents a key of their own: {_settings.AGENT_KEY}."
        )
    fix = f"Set {_settings.AGENT_KEY} (`tallybase agents key create`)."
    return Finding("settings", "problem", "a publishable key alone may not spend", fix)


def _encryption(client: Credits) -> Finding:
    address = urlsplit(client.url)
    if address.scheme == "https" or address.hostname in _LOCAL_HOSTS:
        return Finding("encryption", "ok", f"{address.scheme} to {address.hostname}")
    message = f"keys travel in the clear to {address.hostname}"
    return Finding("encryption", "problem", message, "Use https:// in TALLYBASE_URL.")


def _connection(client: Credits) -> Iterator[Finding]:
    """Ask once, without retries: does the server answer, are schema and key known, do the clocks agree?"""
    # The installation's own checks need no organization.
    is_for_all = client.is_service and client.organization_id is None
    events = _calls.Call("list_stripe_events", {"limit": 1}, bool)
    began = time.time()
    try:
        response = (
            client.send_once(events, _TIME_LIMIT_SECONDS)
            if is_for_all
            else client.send_once(_calls.balance(client.organization_id), _TIME_LIMIT_SECONDS)
        )
    except TransportFailure as failure:
        fix = "Check TALLYBASE_URL and the network; `make status` shows whether the local stack runs."
        yield Finding("connection", "problem", f"no answer: {failure}", fix)
        return
    took = time.time() - began
    reply = read(response)
    body: object = reply.payload
    code = body.get("code") if isinstance(body, dict) else None
    message = str(body.get("message", "")) if isinstance(body, dict) else reply.text
    if reply.ok:
        yield Finding("connection", "ok", f"answered in {took * 1000:.0f} ms")
    elif code in ("PGRST106", "PGRST202"):
        fix = "Apply the migrations and add `billing` to the exposed schemas ([api] schemas in config.toml)."
        yield Finding("connection", "problem", f"the API does not offer the billing schema ({code})", fix)
    elif message == "agent_key_invalid":
        fix = "Make a new one: `tallybase agents key create`."
        yield Finding("connection", "problem", "the agent key is unknown, mistyped, revoked or expired", fix)
    elif reply.status in (401, 403):
        fix = "Check that TALLYBASE_KEY and the organization belong to this project."
        yield Finding("connection", "problem", f"refused: {message or reply.status}", fix)
    else:
        yield Finding(
            "connection", "problem", f"HTTP {reply.status}: {message}", "Look at the server's logs."
        )
    yield _clock(response.headers.get("date"), began + took / 2)


def _clock(date: str | None, now: float) -> Finding:
    """Compare the clocks; tokens are refused when they differ by much."""
    try:
        skew = email.utils.parsedate_to_datetime(date or "").timestamp() - now
    except ValueError:
        return Finding("clock", "skipped", "the server does not tell the time")
    if abs(skew) <= _MAX_SKEW_SECONDS:
        return Finding("clock", "ok", f"within {max(1, round(abs(skew)))} s of the server's")
    direction = "behind" if skew > 0 else "ahead of"
    message = f"{abs(skew):.0f} s {direction} the server's"
    return Finding("clock", "warning", message, "Set this machine's clock by NTP.")


def _attempted(check: str, examination: Callable[[Credits], Finding], client: Credits) -> Finding:
    try:
        return examination(client)
    except errors.TallybaseError as error:
        return Finding(check, "problem", str(error))


def _balance(client: Credits) -> Finding:
    if client.is_service and client.organization_id is None:
        return Finding("balance", "skipped", "no organization is named")
    found = client.balance()
    available = f"{errors.plain(found.available)} credits available"
    if found.restricted_reason:
        fix = "An owner can settle it on the billing page."
        return Finding("balance", "problem", f"spending is restricted: {found.restricted_reason}", fix)
    if found.available <= 0:
        return Finding("balance", "warning", available, "Buy credits on the billing page.")
    return Finding("balance", "ok", available)


def _money(client: Credits) -> Iterator[Finding]:
    """The workers' own checklist: Stripe's account, webhooks, portal, prices, inbox. For a service alone."""
    if not client.is_service:
        return
    operations = Operations(client)
    try:
        for line in operations.money_checks():
            yield Finding(f"money: {line.subject}", line.verdict, line.finding)
    except errors.TallybaseError as error:
        fix = "Set TALLYBASE_WORKERS_URL to where the workers are."
        yield Finding("money", "warning", f"the workers could not be asked: {error}", fix)
    finally:
        operations.close()


def _ledger(client: Credits) -> Finding:
    if not client.is_service:
        return Finding("ledger", "skipped", "its invariants are shown to a service (secret key) alone")
    if client.organization_id is None:
        return Finding("ledger", "skipped", "no organization is named; `tallybase ledger verify` checks all")
    violations = Management(client).verify_ledger()
    if not violations:
        return Finding("ledger", "ok", "all invariants hold")
    names = ", ".join(sorted({violation.invariant for violation in violations}))
    return Finding("ledger", "problem", f"broken: {names}", "Stop spending and look at `verify_ledger`.")
