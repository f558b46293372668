"""Every right on every object of the product, as text; `python -m tests.security.acl` writes the file anew.

The file is what a reviewer reads to see that a migration gave somebody a right. It must come out the same on
a database with the platform's legacy default privileges and on one with the revoked ones.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from stack.postgres import BOOTSTRAP_DIR, SUPERUSER
from stack.settings import REPOSITORY, StackSettings

_HERE = Path(__file__).parent
GOLDEN = _HERE / "acl.golden.txt"
VARIANTS = ("legacy", "revoked")
#: Roles belong to the whole cluster, and are there already.
_ROLES = "10_roles.sql"
_REVOKED = "31_default_privileges_revoked.sql"

RIGHTS_QUERY = (_HERE / "sql/rights.sql").read_text()


def rights(database_url: str) -> str:
    """Return every right and policy, one a line, sorted; the owner's own are left out."""
    with psycopg.connect(database_url) as connection:
        return "".join(
            f"{line}\n" for line in sorted(row[0] for row in connection.execute(RIGHTS_QUERY.encode()))
        )


@contextmanager
def fresh_database(settings: StackSettings, variant: str) -> Iterator[str]:
    """Make a database beside the instance's own, with bootstrap and migrations, while the context is open.

    Args:
        settings: a running instance.
        variant: `legacy` or `revoked`: which default privileges the platform gives.

    Yields:
        Its address, as the schema's owner.
    """
    name = f"acl_{variant}_{secrets.token_hex(4)}"
    superuser = settings.database_url(SUPERUSER)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} owner postgres").format(sql.Identifier(name)))
        try:
            _fill(_other_database(superuser, name), _other_database(settings.database_url(), name), variant)
            yield _other_database(settings.database_url(), name)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _fill(superuser_url: str, owner_url: str, variant: str) -> None:
    skipped = {_ROLES} | ({_REVOKED} if variant == "legacy" else set())
    with psycopg.connect(superuser_url) as connection:
        for file in sorted(BOOTSTRAP_DIR.glob("*.sql")):
            if file.name not in skipped:
                connection.execute(file.read_bytes())
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for file in sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql")):
            connection.execute(file.read_bytes())


def _other_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def main() -> None:
    """Write the golden file from a new database of the running instance."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with fresh_database(StackSettings.load(), VARIANTS[0]) as url:
        GOLDEN.write_text(rights(url))
    print(f"wrote {GOLDEN.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
