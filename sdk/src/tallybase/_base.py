"""What the sync and the async client have in common: who calls, for whom, and how calls are prepared."""

from __future__ import annotations

from typing import Literal, cast
from urllib.parse import urlsplit
from uuid import UUID

from tallybase import _calls, _spend
from tallybase._approvals import ApprovalRequests
from tallybase._calls import Call, Number
from tallybase._retry import RetryPolicy
from tallybase._spend import Spend
from tallybase._wire import Endpoint
from tallybase.errors import ConfigurationError
from tallybase.models import Approval, Quote, Receipt
from tallybase.options import CheckOptions, SpendOptions
from tallybase.outbox import Outbox
from tallybase.runs import Run, current_run

OnUnavailable = Literal["raise", "queue"]

_SECRET_PREFIX = "sb_secret_"


class BaseClient:
    """The settings of a client. Not for use by itself: see `Credits` and `AsyncCredits`."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        agent_key: str | None,
        access_token: str | None,
        organization_id: UUID | str | None,
        retry: RetryPolicy | None,
        outbox: Outbox | str | None,
        request_approvals: bool,
    ) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigurationError("The URL of the billing server must begin with http:// or https://.")
        if agent_key and key.startswith(_SECRET_PREFIX):
            raise ConfigurationError(
                "An agent key goes with the publishable key; an agent must not hold a secret key."
            )
        for name, value in (
            ("key", key),
            ("agent key", agent_key or ""),
            ("access token", access_token or ""),
        ):
            if not value.isascii() or any(character.isspace() for character in value):
                raise ConfigurationError(f"The {name} holds a character that a key cannot have.")
        self.organization_id = organization_id
        self.retry = retry or RetryPolicy()
        self.outbox = Outbox(outbox) if isinstance(outbox, str) else outbox
        self._approvals = ApprovalRequests(enabled=request_approvals)
        self._endpoint = Endpoint(url, key, agent_key, access_token)
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.url!r}, organization_id={self.organization_id!r})"

    def run(
        self,
        agent_type: str | None = None,
        run_id: str | UUID | None = None,
        budget: Number | None = None,
        *,
        department_id: UUID | str | None = None,
    ) -> Run:
        """Make a run, to be entered by `with`: what is spent inside belongs to it and its budget.

        Args:
            agent_type: default agent type of what is charged inside.
            run_id: name of this one piece of work; the same when it is repeated after a crash. Default: a new
                one.
            budget: most credits that may be spent inside, enforced by this process; None: no budget.
            department_id: default department of what is charged inside.
        """
        return Run(
            run_id=run_id, agent_type=agent_type, budget=budget, department_id=department_id, credits=self
        )

    def _prepare_spend(
        self, agent_type: str | None, action: str, options: SpendOptions
    ) -> tuple[Spend, Call[Receipt]]:
        """Complete a spend and build its call; from here on its key is fixed."""
        spend = _spend.prepare(
            agent_type, action, options, organization_id=self.organization_id, run=current_run()
        )
        call = _calls.consume(spend.consumption, spend.organization_id)
        # Refuses what cannot be written as JSON before anything is claimed or combined with others.
        call.request(self._endpoint)
        return spend, call

    def _prepare_hold(
        self, agent_type: str | None, action: str, up_to: Number | None, options: SpendOptions
    ) -> Spend:
        """Complete what a hold is taken for."""
        wanted = options if up_to is None else cast(SpendOptions, {**options, "amount": up_to})
        return _spend.prepare(
            agent_type, action, wanted, organization_id=self.organization_id, run=current_run()
        )

    def _prepare_request(self, agent_type: str | None, action: str, options: SpendOptions) -> Call[Approval]:
        """Build the call that asks for the approval of a spend, as patient as any other."""
        _, call = self._prepare_spend(agent_type, action, options)
        return _calls.request_approval(call.arguments, patience=None)

    def _prepare_check(
        self, agent_type: str | None, action: str, options: CheckOptions
    ) -> tuple[Spend, Call[Quote]]:
        """Complete a spend that is only asked about and build the call."""
        run = current_run()
        wanted = cast(SpendOptions, options)
        spend = _spend.prepare(agent_type, action, wanted, organization_id=self.organization_id, run=run)
        return spend, _calls.check(spend.consumption, spend.organization_id)

    def _require_open(self) -> None:
        if self._closed:
            raise ConfigurationError("This client is closed.")

    @property
    def url(self) -> str:
        """Base URL of the project."""
        return self._endpoint.url

    @property
    def requests_approvals(self) -> bool:
        """Whether it lets people see by itself what waits for their approval."""
        return self._approvals.enabled

    @property
    def is_service(self) -> bool:
        """Whether the client holds a secret key."""
        return self._endpoint.key.startswith(_SECRET_PREFIX)

    @property
    def secret_key(self) -> str:
        """The secret key of a service. Raises ConfigurationError for anybody else."""
        if not self.is_service:
            raise ConfigurationError("This client does not hold a secret key.")
        return self._endpoint.key

    def require_outbox(self) -> Outbox:
        """Return the outbox. Raises ConfigurationError when the client has none."""
        if self.outbox is None:
            raise ConfigurationError(
                'on_unavailable="queue" needs an outbox: Credits(..., outbox="credits.sqlite").'
            )
        return self.outbox
