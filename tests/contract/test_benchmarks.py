"""The benchmark measures what it says: every case runs and reports, and what it writes is a valid ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from benchmarks import clients, tenants
from benchmarks.cases import CASES
from benchmarks.cases.holds import require_exact
from benchmarks.grants import write_grants
from benchmarks.history import write_history
from benchmarks.load import Client, run
from benchmarks.results import Row, at_least, at_most
from tests.conftest import StackUnderTest

REPOSITORY = Path(__file__).parents[2]

#: As little of everything as still runs every case and the stage of a ledger with a past.
_TINY = (
    "--here --seconds 0.05 --repetitions 1 --organizations 3 --grants 900 --entries 300"
    " --snapshot-seconds 0.1"
)

pytestmark = pytest.mark.serial


@pytest.fixture
def connection(stack: StackUnderTest) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session as the schema's owner, with the benchmark's floors."""
    with psycopg.connect(stack.database_url, autocommit=True) as made:
        tenants.add_floors(made)
        yield made
        tenants.clean_up(made)


@pytest.fixture
def project(stack: StackUnderTest) -> tenants.Project:
    """The project under test, with an owner of the benchmark's own."""
    return tenants.open_project(
        {
            "SUPABASE_URL": stack.supabase_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            "SUPABASE_SECRET_KEY": stack.secret_key,
            "DATABASE_URL": stack.database_url,
        }
    )


@pytest.mark.timeout(600)
def test_a_tiny_run_of_every_case_writes_a_report(stack: StackUnderTest, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"

    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", *_TINY.split(), "--output", str(page)],
        cwd=REPOSITORY,
        env=os.environ | {"DATABASE_URL": stack.database_url, "WORKERS_URL": stack.workers_url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    text = page.read_text()
    assert [case.key for case in CASES if f"- **{case.key}**: " not in text] == []
    assert "## An empty ledger\n" in text
    assert "## A ledger of 300 entries\n" in text
    assert "| flat: consume_credits, one hot organization | 32 |" in text
    assert "| webhook: round trips to the database | 1 |  | 1 | 1.00 | ≤ 1 | yes |" in text
    with psycopg.connect(stack.database_url) as database:
        assert tenants.one(database, "select to_regnamespace('tallybase_bench') is null")
        assert tenants.one(database, "select to_regproc('billing.bench_nothing') is null")
        assert (
            tenants.one(database, "select count(*) from billing_private.settings where name = 'queue_places'")
            == 0
        )


def test_many_grants_are_a_valid_ledger_and_can_be_spent(
    connection: psycopg.Connection[tuple[object, ...]], project: tenants.Project
) -> None:
    organization_id = tenants.make_organization(connection, project)
    write_grants(connection, organization_id, 30, 2)
    tenant = tenants.equip(connection, organization_id, credits_granted=0)

    client = clients.spend(project.database_url, tenant)(0)
    for _ in range(3):
        client.call()

    balance = "select (billing_private.ledger_tail(%s)).balance_after"
    assert tenants.one(connection, balance, organization_id) == 30 * 2 - 3
    assert connection.execute("select * from billing.verify_ledger(%s)", (organization_id,)).fetchall() == []


def test_a_history_is_a_valid_ledger_and_can_be_spent_from(
    connection: psycopg.Connection[tuple[object, ...]], project: tenants.Project
) -> None:
    organization_id = tenants.make_organization(connection, project)
    until = datetime.now(UTC) - timedelta(minutes=1)
    write_history(connection, organization_id, 200, until - timedelta(days=9), until, analyze=False)
    tenant = tenants.equip(connection, organization_id, credits_granted=0)

    clients.spend(project.database_url, tenant)(0).call()

    assert (
        tenants.one(connection, "select (billing_private.ledger_tail(%s)).sequence", organization_id) == 202
    )
    assert connection.execute("select * from billing.verify_ledger(%s)", (organization_id,)).fetchall() == []


def test_spends_of_many_organizations_are_each_organizations_own(
    connection: psycopg.Connection[tuple[object, ...]], project: tenants.Project
) -> None:
    made = tenants.make_tenants(connection, project, 3)

    client = clients.spend_of_any(project.database_url, made)(1)
    for _ in range(4):
        client.call()

    spent = [
        int(
            1e9
            - float(tenants.one(connection, "select (billing_private.ledger_tail(%s)).balance_after", one))
        )
        for one in (tenant.organization_id for tenant in made)
    ]
    assert spent == [1, 2, 1]


def test_a_load_of_failing_calls_measures_nothing() -> None:
    def factory(number: int) -> Client:
        def call() -> None:
            raise ValueError("refused")

        return Client(call)

    with pytest.raises(RuntimeError, match="refused"):
        run(factory, 2, 0.05)


def test_a_credit_too_many_inside_holds_stops_the_benchmark() -> None:
    require_exact((10, 0), (7, 0), 3)
    with pytest.raises(RuntimeError, match="3 credits"):
        require_exact((10, 0), (6, 0), 3)
    with pytest.raises(RuntimeError, match="3 credits"):
        require_exact((10, 0), (7, 1), 3)


def test_a_row_says_whether_its_target_is_reached() -> None:
    assert Row("m", "1", "", "", 0.6, at_least(0.6)).cells[4:7] == ["0.60", "≥ 0.6", "yes"]
    assert Row("m", "1", "", "", 0.59, at_least(0.6)).cells[6] == "no"
    assert Row("m", "1", "", "", 601, at_most(600), unit="B").cells[4:7] == ["601 B", "≤ 600 B", "no"]
    assert Row("m", "1", "", "", 3).cells[5:7] == ["", ""]
