"""The reference pages say what matrix and database say; `python -m tests.security.pages` writes them."""

from __future__ import annotations

from tests.security.catalogue import Database
from tests.security.matrix import Matrix
from tests.security.pages import ACCESS_PAGE, DATABASE_PAGE, access_page, database_page


def test_the_page_of_rights_is_the_matrix() -> None:
    assert ACCESS_PAGE.read_text() == access_page(Matrix.load())


def test_the_page_of_the_database_is_what_the_database_says(owner_session: Database) -> None:
    assert DATABASE_PAGE.read_text() == database_page(owner_session)
