"""Very many open grants in one organization."""

from __future__ import annotations

from .. import clients
from ..bench import Bench, Case
from ..grants import write_grants
from ..results import Row, at_least
from ..tenants import Tenant, equip, make_organization

_CLIENTS = 8


def _run(bench: Bench) -> list[Row]:
    url, count = bench.project.database_url, bench.options.grants
    single = clients.spend(url, _tenant(bench, 1, 1_000_000_000))
    large = bench.compare(
        f"spend with {count:,} open grants, against one grant",
        _CLIENTS,
        single,
        clients.spend(url, _tenant(bench, count, 1_000_000)),
    )
    turning = bench.compare(
        f"the same, each of {count:,} grants used up by one spend",
        _CLIENTS,
        single,
        clients.spend(url, _tenant(bench, count, 1)),
    )
    return [large.row(at_least(0.9)), turning.row()]


def _tenant(bench: Bench, grants: int, amount: int) -> Tenant:
    organization_id = make_organization(bench.connection, bench.project)
    write_grants(bench.connection, organization_id, grants, amount)
    return equip(bench.connection, organization_id, credits_granted=0)


CASE = Case(
    "grants",
    "Spends in an organization with very many open grants against spends in one with a single grant: "
    "once with grants that last, once with grants that a single spend uses up, so that each spend has "
    "to look for the next one and to close the last.",
    _run,
)
