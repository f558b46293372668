"""Tallybase: credits for what agents do, charged before they do it.

credits = Credits.from_env()                    # TALLYBASE_URL, TALLYBASE_KEY, TALLYBASE_AGENT_KEY
receipt = credits.consume("QAAgent", "answer_question")

@consumes_credits("VisualPostCreatorAgent", "find_background_image")
async def find_background_image(prompt: str) -> Image: ...

with credits.hold("ResearchAgent", "run", up_to=400, expires_in="15m") as hold:
    hold.capture(quantities=agent.run(question).usage)
"""

from typing import TYPE_CHECKING

from tallybase._retry import RetryPolicy
from tallybase.async_client import AsyncCredits
from tallybase.client import Credits
from tallybase.crew import BaseCrew
from tallybase.decorators import configure, consumes_credits
from tallybase.errors import (
    AgentKeyInvalid,
    ApprovalRequired,
    BillingRestricted,
    Busy,
    ConfigurationError,
    Conflict,
    CreditsUnavailable,
    HoldCaptured,
    HoldExpired,
    HoldReleased,
    HoldResolved,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidAmount,
    InvalidArgument,
    LimitExceeded,
    MetadataTooLarge,
    NotAuthorized,
    NotFound,
    RateLimited,
    RunBudgetExceeded,
    SpendRefused,
    TallybaseError,
    UnexpectedAnswer,
    UnknownAction,
)
from tallybase.holds import AsyncHold, Hold
from tallybase.management import Management
from tallybase.meter import AsyncMeter, Meter
from tallybase.models import (
    Approval,
    Balance,
    Consumption,
    HoldState,
    Outcome,
    Queued,
    Quote,
    Receipt,
)
from tallybase.outbox import Outbox
from tallybase.runs import Run, current_run

if TYPE_CHECKING:
    from tallybase.testing import FakeAsyncCredits, FakeCredits

__version__ = "0.1.0"

__all__ = [
    "AgentKeyInvalid",
    "Approval",
    "ApprovalRequired",
    "AsyncCredits",
    "AsyncHold",
    "AsyncMeter",
    "Balance",
    "BaseCrew",
    "BillingRestricted",
    "Busy",
    "ConfigurationError",
    "Conflict",
    "Consumption",
    "Credits",
    "CreditsUnavailable",
    "FakeAsyncCredits",
    "FakeCredits",
    "Hold",
    "HoldCaptured",
    "HoldExpired",
    "HoldReleased",
    "HoldResolved",
    "HoldState",
    "IdempotencyConflict",
    "InsufficientCredits",
    "InvalidAmount",
    "InvalidArgument",
    "LimitExceeded",
    "Management",
    "MetadataTooLarge",
    "Meter",
    "NotAuthorized",
    "NotFound",
    "Outbox",
    "Outcome",
    "Queued",
    "Quote",
    "RateLimited",
    "Receipt",
    "RetryPolicy",
    "Run",
    "RunBudgetExceeded",
    "SpendRefused",
    "TallybaseError",
    "UnexpectedAnswer",
    "UnknownAction",
    "configure",
    "consumes_credits",
    "current_run",
]


def __getattr__(name: str) -> object:
    """The clients for tests, imported when somebody asks for them."""
    if name in {"FakeAsyncCredits", "FakeCredits"}:
        from tallybase import testing

        return getattr(testing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
