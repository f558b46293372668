"""Asks by itself for the approval that a refused spend needs: once for each approval, never in its way."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from tallybase import _calls
from tallybase.errors import ApprovalRequired, CreditsUnavailable, TallybaseError
from tallybase.models import Outcome

if TYPE_CHECKING:
    from tallybase._spend import Steps

#: How many approvals a client remembers to have asked for; beyond them the oldest may be asked for again,
#: which changes nothing.
_REMEMBERED = 1000


class ApprovalRequests:
    """What one client has asked people to approve. Safe for threads.

    Args:
        enabled: False: it asks for nothing by itself.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def after(self, error: TallybaseError, arguments: Mapping[str, object]) -> Steps[None]:
        """Ask for the approval that a refusal names, unless this client has. A failure is let go.

        Args:
            error: the refusal; any other than `ApprovalRequired` is passed over.
            arguments: those of the refused spend.
        """
        if not isinstance(error, ApprovalRequired) or not self._claim(error.approval_id):
            return
        try:
            yield _calls.request_approval(arguments)
        except CreditsUnavailable:
            self._forget(error.approval_id)
        except TallybaseError:
            return

    def after_batch(
        self,
        error: TallybaseError | None,
        outcomes: Sequence[Outcome],
        events: Sequence[Mapping[str, object]],
        organization_id: UUID | str | None,
    ) -> Steps[None]:
        """As `after`, for a batch: for the event that ended it, or for each that was refused.

        Args:
            error: the refusal of a batch as a whole; its `details["index"]` names the event.
            outcomes: of a batch whose events stand alone.
            events: the arguments of each, keys included.
            organization_id: who pays, or None when the key says it.
        """
        index = None if error is None else error.details.get("index")
        refused = [(outcome.index, outcome.error) for outcome in outcomes if outcome.error is not None]
        if error is not None and isinstance(index, int) and 0 <= index < len(events):
            refused.append((index, error))
        for place, refusal in refused:
            yield from self.after(refusal, _calls.in_organization(events[place], organization_id))

    def _claim(self, approval_id: str | None) -> bool:
        if not self.enabled or approval_id is None:
            return False
        with self._lock:
            if approval_id in self._asked:
                return False
            self._asked[approval_id] = None
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return True

    def _forget(self, approval_id: str | None) -> None:
        with self._lock:
            self._asked.pop(approval_id or "", None)
