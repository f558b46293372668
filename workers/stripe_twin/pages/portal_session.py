"""One visit to the portal: whose it is, what it may do, and where it leads when its task is done."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response

from stripe_twin.context import Twin
from stripe_twin.pages.rendering import page, see_other
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_LIFETIME_SECONDS = 3600


@dataclass(frozen=True)
class PortalSession:
    """A portal session that is in force.

    Attributes:
        record: The stored session.
        configuration: What customers may do.
        path: Its address at the twin.
    """

    record: Record
    configuration: Json
    path: str

    @property
    def data(self) -> Json:
        """The session, as the API shows it."""
        return self.record.data

    @property
    def customer_id(self) -> str:
        """Whose page it is."""
        return str(self.data["customer"])

    @property
    def features(self) -> Json:
        """What customers may do, feature by feature."""
        features: Json = self.configuration["features"]
        return features

    @property
    def headline(self) -> str | None:
        """The merchant's words above the page."""
        headline: str | None = self.configuration["business_profile"]["headline"]
        return headline

    @property
    def flow(self) -> Json | None:
        """The one task that the session is for, if there is one."""
        flow: Json | None = self.data["flow"]
        return flow

    @property
    def is_done(self) -> bool:
        """Whether that task is done."""
        return bool(self.record.hidden.get("done"))

    def allows(self, feature: str) -> bool:
        """Whether the configuration has a feature."""
        return bool(self.features[feature]["enabled"])

    @property
    def back(self) -> str | None:
        """Where a task leads back to: the page's front, or the merchant when there is only the task."""
        return self.path if self.flow is None or self.is_done else self.data["return_url"]


def open_session(unit: UnitOfWork, token: str) -> PortalSession | None:
    """Return the session with a token, good for an hour; None for any other."""
    found = unit.all("billing_portal.session", hidden={"token": token})
    if not found or found[0].data["created"] + _LIFETIME_SECONDS < unit.now:
        return None
    configuration = unit.get("billing_portal.configuration", found[0].data["configuration"])
    return PortalSession(found[0], configuration.data, f"/p/session/{token}")


def finish(unit: UnitOfWork, session: PortalSession) -> Response:
    """Lead on after a task: to the page's front, or where the session's flow says."""
    if session.flow is None:
        return see_other(session.path)
    session.record.hidden["done"] = True
    unit.save(session.record)
    after = session.flow["after_completion"]
    if after["type"] == "redirect":
        return see_other(after["redirect"]["return_url"])
    return see_other(session.path + ("/done" if after["type"] == "hosted_confirmation" else ""))


def unknown(twin: Twin) -> Response:
    """Return the page for a link that is wrong or too old."""
    merchant = twin.settings.merchant_name
    return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)
