"""`BaseCrew`: the base of agents that pay for their actions, with the two calls that such an agent needs."""

from __future__ import annotations

from typing import ClassVar, Unpack
from uuid import UUID

from tallybase.client import Credits
from tallybase.models import Quote, Receipt
from tallybase.options import CheckOptions, KeySource, SpendOptions
from tallybase.runs import current_run


class BaseCrew:
    """An agent, or a crew of agents, with a client for credits and a name in the price list.

        class QAAgent(BaseCrew):
            @consumes_credits()
            def answer_question(self, question: str) -> Answer: ...

    Methods under `consumes_credits` find client, agent type and department here.

    Args:
        credits: the client; default: one made from the environment (`Credits.from_env`), which `close`
            closes.
        department_id: which part of the organization pays; default: the department of the agent key.

    Attributes:
        agent_type: name in the price list; default: the name of the class.
    """

    agent_type: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "agent_type" not in cls.__dict__ and cls.agent_type in ("", cls.__bases__[0].__name__):
            cls.agent_type = cls.__name__

    def __init__(self, credits: Credits | None = None, *, department_id: UUID | str | None = None) -> None:
        self._owns_credits = credits is None
        self.credits = credits if credits is not None else Credits.from_env()
        self.department_id = department_id

    def consume_credits_for_action(self, action: str, **options: Unpack[SpendOptions]) -> Receipt:
        """Charge an action of this agent, or raise why not. Call it before the paid work.

        Inside a run the idempotency key derives from the run, the action and the number of the call.

        Args:
            action: what is done, as in the price list.
            **options: see `tallybase.options.SpendOptions`.

        Raises:
            TallybaseError: as `Credits.consume`; the work must not be done.
        """
        run = current_run()
        if options.get("idempotency_key") is None and run is not None:
            step_key: KeySource = run.step_key
            options["idempotency_key"] = step_key
        if options.get("department_id") is None:
            options["department_id"] = self.department_id
        return self.credits.consume(self.agent_type, action, **options)

    def check_credits_available(self, action: str, **options: Unpack[CheckOptions]) -> Quote:
        """Ask whether an action of this agent could be charged now; charges nothing.

        Args:
            action: what is done, as in the price list.
            **options: see `tallybase.options.CheckOptions`.

        Returns:
            the quote, which is true in a condition when the action is allowed.
        """
        if options.get("department_id") is None:
            options["department_id"] = self.department_id
        return self.credits.check(self.agent_type, action, **options)

    def close(self) -> None:
        """Close the client, if this crew made it."""
        if self._owns_credits:
            self.credits.close()
