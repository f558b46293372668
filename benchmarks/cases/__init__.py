"""All that is measured, in the order of the report."""

from __future__ import annotations

from ..bench import Case
from . import (
    bursts,
    grants,
    holds,
    neighbour,
    peer,
    postgrest,
    reading,
    sdk,
    snapshot,
    spending,
    storage,
    webhook,
)

CASES: tuple[Case, ...] = (
    *spending.CASES,
    bursts.CASE,
    holds.CASE,
    postgrest.CASE,
    grants.CASE,
    *reading.CASES,
    sdk.CASE,
    neighbour.CASE,
    snapshot.CASE,
    storage.CASE,
    peer.CASE,
    webhook.CASE,
)
