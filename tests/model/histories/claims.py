"""Who caused which entry: every entry has exactly one cause, and every success exactly one entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database import Row
from ..entities import Refused
from .operations import Evidence, Operation

#: Entries that the ledger books by itself, by kind and reason; a null reason is one that no caller can give.
BY_ITSELF = {
    ("expire", "expired"),
    ("expire", "refunded_after_expiry"),
    ("expire", "released_after_end"),
    ("void", "released_after_end"),
    ("release", "hold_expired"),
    ("consume", "hold_expired"),
}
RECEIPTS = {
    "consume_credits",
    "refund_consumption",
    "adjust_credits",
    "transfer_credits",
    "capture_hold",
    "grant_credits",
    "void_grant",
}


class AnomalyError(Exception):
    """The history has no serial order that explains it."""


@dataclass
class Claim:
    """A success that says which entry it is about.

    Attributes:
        operation: the call.
        answer: its receipt; None: it was never told.
        event: its place in the batch; None: no batch.
        is_first: whether it says that it caused the entry itself.
    """

    operation: Operation
    answer: Any | None
    event: int | None = None
    is_first: bool = True

    @property
    def arguments(self) -> Any:
        """What was asked for."""
        if self.event is None:
            return self.operation.arguments
        return self.operation.arguments["events"][self.event]


class Causes:
    """The cause of each entry, and the replays that refer to it."""

    def __init__(self, evidence: Evidence, operations: list[Operation]) -> None:
        """Find out.

        Raises:
            AnomalyError: an entry has no cause or several, or one that came after it or was answered before.
        """
        self._evidence = evidence
        self.places = {str(entry["id"]): entry["sequence"] for entry in evidence.entries}
        self._hold_places = self._find_hold_places()
        self.owners: dict[int, Claim] = {}
        self.replays: dict[int, list[Claim]] = defaultdict(list)
        claims: dict[int, list[Claim]] = defaultdict(list)
        for operation in operations:
            for place, claim in self._claims_of(operation):
                claims[place].append(claim)
        lost = self._lost_calls(operations)
        for entry in evidence.entries:
            self._decide(entry, claims.pop(entry["sequence"], []), lost)
        if claims:
            raise AnomalyError(f"receipts of entries that do not exist: {claims}")

    def _decide(self, entry: Row, claims: list[Claim], lost: Mapping[object, Sequence[Operation]]) -> None:
        place = entry["sequence"]
        first = [claim for claim in claims if claim.is_first]
        if len(first) > 1:
            raise AnomalyError(f"entry {place} was the first answer of several calls: {first}")
        owner = first[0] if first else next((c for c in claims if c.operation.was_lost), None)
        if owner is None and not claims and self._is_by_itself(entry):
            return
        if owner is None and (operation := _cause_among(lost.get(self._identity(entry), ()), place)):
            owner = Claim(operation, None)
        if owner is None:
            raise AnomalyError(f"entry {place} ({entry['kind']}, {entry['reason']}) has no cause: {claims}")
        operation = owner.operation
        if place <= operation.before.sequence:
            raise AnomalyError(f"entry {place} was there before its call: {operation}")
        if owner.answer is not None and place > operation.after.sequence:
            raise AnomalyError(f"entry {place} came after its answer: {operation}")
        self.owners[place] = owner
        for claim in claims:
            if claim is not owner:
                self.replays[place].append(claim)
                if place > claim.operation.after.sequence:
                    raise AnomalyError(f"entry {place} was replayed before it was there: {claim.operation}")

    def _is_by_itself(self, entry: Row) -> bool:
        if entry["kind"] == "grant":  # one that was booked before and begins now
            grant_id = entry["grant_ids"][0]
            return any(
                e["kind"] == "schedule" and e["grant_ids"] == [grant_id] and e["sequence"] < entry["sequence"]
                for e in self._evidence.entries
            )
        return (entry["kind"], entry["reason"]) in BY_ITSELF

    def _claims_of(self, operation: Operation) -> Iterator[tuple[int, Claim]]:
        answer = operation.answer
        if isinstance(answer, Refused):
            return
        if operation.function == "consume_credits_batch":
            for row in answer:
                if row["ok"]:
                    receipt = row["receipt"]
                    place = self.places.get(receipt["transaction_id"], -1)
                    yield place, Claim(operation, receipt, row["index"], not receipt["replayed"])
        elif operation.function in RECEIPTS and not _moved_nothing(operation):
            place = self.places.get(answer["transaction_id"], -1)
            yield place, Claim(operation, answer, is_first=not answer["replayed"])
        elif operation.function in ("hold_credits", "release_hold"):
            place = self._hold_places.get((operation.function, answer["hold_id"]), -1)
            yield place, Claim(operation, answer, is_first=not answer["replayed"])
        elif operation.function == "extend_hold":
            grown = operation.arguments["additional"]
            yield self._hold_places.get((answer["hold_id"], grown), -1), Claim(operation, answer)

    def _find_hold_places(self) -> dict[tuple[object, object], int]:
        """Find the entries of holds: when each was taken and let go, and each extension by what it added."""
        found: dict[tuple[object, object], int] = {}
        before: Row | None = None
        for entry in self._evidence.entries:
            hold_id = str(entry["hold_id"])
            if entry["kind"] == "hold" and entry["reason"] is None:
                found["hold_credits", hold_id] = entry["sequence"]
            elif entry["kind"] == "hold" and before:
                found[hold_id, entry["held_after"] - before["held_after"]] = entry["sequence"]
            elif entry["kind"] == "release" and entry["reason"] == "released":
                found["release_hold", hold_id] = entry["sequence"]
            before = entry
        return found

    def _identity(self, entry: Row) -> tuple[str, object] | None:
        """What a caller whose answers were all lost would know an entry by."""
        if entry["idempotency_key"]:
            return "key", entry["idempotency_key"]
        if entry["kind"] == "hold":
            return "hold", self._evidence.hold_keys[str(entry["hold_id"])]
        if entry["kind"] in ("grant", "schedule"):
            return "grant", self._evidence.references[str(entry["grant_ids"][0])]
        if entry["kind"] == "release" and entry["reason"] == "released":
            return "release", str(entry["hold_id"])
        if entry["kind"] == "void":
            return "void", str(entry["grant_ids"][0])
        return None

    @staticmethod
    def _lost_calls(operations: list[Operation]) -> Mapping[object, Sequence[Operation]]:
        """Calls that were sent again: an earlier sending may take effect after a later one was refused."""
        found: dict[object, list[Operation]] = defaultdict(list)
        for operation in operations:
            if operation.was_lost:
                told = operation.arguments
                identity: tuple[str, object] = {
                    "hold_credits": ("hold", told.get("idempotency_key")),
                    "grant_credits": ("grant", told.get("source_reference")),
                    "release_hold": ("release", told.get("hold_id")),
                    "void_grant": ("void", told.get("grant_id")),
                }.get(operation.function, ("key", told.get("idempotency_key")))
                found[identity].append(operation)
        return found


def _cause_among(operations: Sequence[Operation], place: int) -> Operation | None:
    """The call that can have caused an entry: one under way when it came, else one that began before."""
    began = [operation for operation in operations if operation.before.sequence < place]
    return next((o for o in began if place <= o.after.sequence), next(iter(began or operations), None))


def _moved_nothing(operation: Operation) -> bool:
    """Whether it voided a grant of which nothing was left."""
    return operation.function == "void_grant" and operation.answer["transaction_id"] is None
