"""Every right is in a file that people review, whatever the platform's default privileges are."""

from __future__ import annotations

import psycopg
import pytest

from stack.settings import StackSettings
from tests.security.acl import GOLDEN, VARIANTS, fresh_database, rights


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rights_are_the_reviewed_ones_under_either_default(variant: str) -> None:
    """A change that is meant: `python -m tests.security.acl` writes the file; its diff is the review."""
    with fresh_database(StackSettings.load(), variant) as url:
        # Tell the variants apart: otherwise both would be the same test.
        assert _exposes_new_tables(url) is (variant == "legacy")
        found, golden = rights(url).splitlines(), GOLDEN.read_text().splitlines()
    assert sorted(set(found) - set(golden)) == [], "rights that nobody has reviewed"
    assert sorted(set(golden) - set(found)) == [], "rights that are gone"


def _exposes_new_tables(url: str) -> bool:
    with psycopg.connect(url) as connection:
        connection.execute("create table public.probe (a integer)")
        row = connection.execute("select has_table_privilege('anon', 'public.probe', 'select')").fetchone()
        connection.rollback()
    assert row is not None
    return bool(row[0])


@pytest.mark.serial  # other tests make and drop functions of their own meanwhile
def test_the_instance_has_these_rights_too(stack_database_url: str) -> None:
    found = rights(stack_database_url)
    assert found == GOLDEN.read_text()


@pytest.fixture
def stack_database_url() -> str:
    """The running instance's own database, made by Supabase's own command line."""
    return StackSettings.load().database_url()
