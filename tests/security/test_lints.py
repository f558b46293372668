"""The linters see what they are for: each finds a planted flaw, and a waiver of nothing is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.postgres import SUPERUSER
from stack.settings import StackSettings
from stack.testing import plpgsql, postgres15
from stack.testing.lints import Finding, advisors, pgrls, problems, sqlfluff, squawk, waivers
from tests.security.acl import VARIANTS, fresh_database

FLAWS = """
create table billing.open_table (id uuid primary key, organization_id uuid);
grant select on billing.open_table to anon;
create table billing.loose (id uuid primary key, organization_id uuid);
alter table billing.loose enable row level security;
grant select on billing.loose to authenticated;
create policy loose_read on billing.loose for select to authenticated
  using (((auth.jwt() -> 'user_metadata') ->> 'organization_id')::uuid = organization_id);
create policy loose_too on billing.loose for select to authenticated using (true);
create view billing.shows_all as select * from billing.organizations;
grant select on billing.shows_all to authenticated;
create function billing.open_door() returns integer language sql security definer as 'select 1';
grant execute on function billing.open_door() to anon;
"""

#: Both are accepted when they are made, and fail when they are called.
FLAWED_BODIES = """
create function billing_private.misspells() returns uuid language plpgsql set search_path = '' as $$
begin
  return (select o.organisation_id from billing.organizations as o limit 1);
end
$$;
create function billing_private.returns_nothing(p_yes boolean) returns integer
language plpgsql set search_path = '' as $$
begin
  if p_yes then
    return 1;
  end if;
end
$$;
"""


@pytest.fixture(scope="module")
def flawed_database() -> Iterator[str]:
    """A database with the migrations and some flaws that the linters are for."""
    settings = StackSettings.load()
    with fresh_database(settings, VARIANTS[0]) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FLAWS)
        with psycopg.connect(settings.database_url(SUPERUSER), autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"alter database {name} set pgrst.db_schemas = 'public, billing'".encode())
        yield url


def _found(tool: str, findings: list[Finding]) -> set[tuple[str, str]]:
    known = {(waiver.rule, place) for waiver in waivers(tool) for place in waiver.objects}
    return {(finding.rule, finding.place) for finding in findings} - known


def test_the_advisors_find_planted_flaws(flawed_database: str) -> None:
    found = _found("advisors", advisors(flawed_database))
    assert {
        ("rls_disabled_in_public", "billing.open_table"),
        ("rls_references_user_metadata", "billing.loose"),
        ("multiple_permissive_policies", "billing.loose"),
        ("security_definer_view", "billing.shows_all"),
        ("function_search_path_mutable", "billing.open_door"),
    } <= found


def test_pgrls_finds_planted_flaws(flawed_database: str) -> None:
    rules = {(rule, place.partition("(")[0]) for rule, place in _found("pgrls", pgrls(flawed_database))}
    assert {
        ("SEC001", "billing.open_table"),
        ("SEC033", "billing.loose.loose_read"),
        ("SEC042", "billing.open_door"),
        ("VIEW001", "billing.shows_all"),
    } <= rules


def test_plpgsql_check_finds_planted_flaws() -> None:
    home = postgres15.home(plpgsql.EXTENSION)
    if home is None:
        pytest.skip(postgres15.NOT_HERE.format(plpgsql.EXTENSION))
    found = _found("plpgsql", plpgsql.findings(home, FLAWED_BODIES))
    assert found == {
        ("column o.organisation_id does not exist", "billing_private.misspells"),
        ("control reached end of function without RETURN", "billing_private.returns_nothing"),
    }


def test_squawk_and_sqlfluff_find_planted_flaws(tmp_path: Path) -> None:
    file = tmp_path / "20270101000000_flaw.sql"
    file.write_text("alter table billing.organizations drop column name;\nSELECT a,b FROM t ;\n")
    assert "ban-drop-column" in {finding.rule for finding in squawk([str(file)])}
    assert any("CP01" in line for line in sqlfluff([str(file)]))


def test_what_is_not_waived_is_a_problem_and_so_is_a_waiver_of_nothing() -> None:
    waived = waivers("advisors")
    every = [Finding(w.rule, place.replace("*", "x"), "") for w in waived for place in w.objects]
    assert problems("advisors", every) == []
    assert len(problems("advisors", [*every, Finding("policy_exists_rls_disabled", "billing.x", "")])) == 1
    assert len(problems("advisors", [*every, Finding(waived[-1].rule, "billing.x", "")])) == 1
    assert len(problems("advisors", every[1:])) == 1
    assert all(
        w.reason for tool in ("sqlfluff", "squawk", "advisors", "pgrls", "plpgsql") for w in waivers(tool)
    )
