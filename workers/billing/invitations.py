"""send_invitation: invites somebody, as the caller may, and mails them the link.

The token is shown once, to this worker, which puts it into the mail and keeps it nowhere: neither whoever
invites nor any log sees it. It stands behind the `#` of the link, which browsers send to no server.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from billing import auth, exact_json, http, mail, rest
from billing.errors import DatabaseUnavailableError, WorkerError
from billing.logs import get_logger
from billing.rows import Row
from billing.settings import get_settings

_log = get_logger("invitations")


class InvitationRequest(BaseModel):
    """Body of send_invitation; the arguments of `invite_member`."""

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    email: str = Field(max_length=320)
    role: Literal["owner", "admin", "billing", "member"]
    department_id: uuid.UUID | None = None
    reason: str | None = Field(default=None, max_length=1000)


class CreatedInvitation(Row):
    """`billing.created_invitation`."""

    invitation_id: uuid.UUID
    organization_id: uuid.UUID
    email: str
    role: str
    department_id: uuid.UUID | None
    expires_at: datetime
    token: SecretStr


class _Organization(Row):
    name: str


def send(request: Request) -> http.Answer:
    """Handle POST send_invitation.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 409, 422, 429,
            500 `not_configured`, 502 `mail_failed`: then the invitation is withdrawn again.
    """
    auth.require_user(request)
    body = http.parse(request, InvitationRequest)
    mail.server_of(get_settings())  # before an invitation is made that nobody could be told of
    credential = rest.credential_headers(request)
    invitation = _invite(body, credential)
    try:
        mail.send(
            mail.compose(
                invitation.email,
                "You have been invited",
                _text(_organization_name(body.organization_id, credential), invitation),
            )
        )
    except WorkerError:
        _withdraw(invitation, credential)
        raise
    return http.Answer(invitation.model_dump(mode="json", exclude={"token"}))


def _invite(body: InvitationRequest, credential: dict[str, str]) -> CreatedInvitation:
    answer = rest.call_function("invite_member", body.model_dump(mode="json"), credential)
    try:
        return CreatedInvitation.model_validate(exact_json.decode(answer))
    except (ValidationError, ValueError):
        raise DatabaseUnavailableError("The database and the workers are of different versions.") from None


def _organization_name(organization_id: uuid.UUID, credential: dict[str, str]) -> str:
    answer = rest.read(
        "organizations", {"select": "name", "organization_id": f"eq.{organization_id}"}, credential
    )
    rows = exact_json.decode(answer)
    return (
        _Organization.model_validate(rows[0]).name if isinstance(rows, list) and rows else "An organization"
    )


def _text(organization: str, invitation: CreatedInvitation) -> str:
    link = f"{get_settings().frontend_url}/invitation#{invitation.token.get_secret_value()}"
    return (
        f"You have been invited to join this organization as {invitation.role}:\n\n"
        f"    {organization}\n\n"
        f"Accept, signed in with this address ({invitation.email}):\n{link}\n\n"
        f"The link can be used once, until {invitation.expires_at:%d %B %Y, %H:%M} UTC.\n"
        "If you did not expect this, do nothing.\n"
    )


def _withdraw(invitation: CreatedInvitation, credential: dict[str, str]) -> None:
    arguments = {"invitation_id": str(invitation.invitation_id), "reason": "its mail could not be sent"}
    try:
        rest.call_function("revoke_invitation", arguments, credential)
    except WorkerError as error:  # it stays open, unseen by anybody, and ends by itself
        _log.warning("invitation_not_withdrawn", invitation_id=str(invitation.invitation_id), slug=error.slug)
