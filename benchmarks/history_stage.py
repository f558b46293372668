"""Gives the benchmark's organizations a past, so that the same measures can be taken on a long ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from .history import write_history
from .tenants import Project, Tenant, equip, make_organization

_SHARE_OF_THE_LARGEST = 0.6
_PAST = timedelta(days=90)


def organizations_with_past(
    connection: psycopg.Connection[Any], project: Project, entries: int, count: int
) -> list[Tenant]:
    """Make organizations with so many entries in all; the first has the largest share.

    Args:
        connection: of the schema's owner, in autocommit.
        project: whose owner owns them.
        entries: how many consumptions, dated evenly over the last 90 days.
        count: how many organizations.

    Raises:
        RuntimeError: what was written is not a valid ledger.
    """
    largest = int(entries * _SHARE_OF_THE_LARGEST)
    shares = [largest] + [(entries - largest) // (count - 1)] * (count - 1)
    until = datetime.now(UTC) - timedelta(minutes=1)
    tenants = []
    for share in shares:
        organization_id = make_organization(connection, project)
        write_history(connection, organization_id, share, until - _PAST, until, analyze=False)
        tenants.append(equip(connection, organization_id, credits_granted=0))
    connection.execute("analyze billing.credit_transactions")
    # One of the smaller ones: the largest would be read for minutes.
    verified = connection.execute("select * from billing.verify_ledger(%s)", (tenants[-1].organization_id,))
    if broken := verified.fetchall():
        raise RuntimeError(f"the history that was written breaks the ledger: {broken[:3]}")
    return tenants
