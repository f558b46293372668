"""Every object of the migrations is closed by a statement of its own, whatever the defaults are."""

from __future__ import annotations

from tests.security.migration_text import GUARDS, migrations, missing


def test_every_object_is_closed_before_it_is_opened() -> None:
    assert list(missing(migrations())) == []


def test_a_missing_revoke_is_seen_wherever_it_is() -> None:
    """Each REVOKE and each ENABLE in turn, taken away: none is there for nothing."""
    text = migrations()
    guards = list(GUARDS.finditer(text))
    assert len(guards) > 400
    unseen = [found[0] for found in guards if not any(missing(text[: found.start()] + text[found.end() :]))]
    assert unseen == []
