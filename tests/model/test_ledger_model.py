"""The ledger does what a small model of it does, in any order of calls (hypothesis; see machine.py).

`TALLYBASE_MODEL_PROFILE=developer` tells many more stories, and other ones each time.
"""

from __future__ import annotations

import os
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import StackUnderTest, User

from .database import Database
from .machine import LedgerMachine

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
PROFILES = {
    "ci": settings(
        max_examples=60,
        stateful_step_count=40,
        derandomize=True,
        deadline=None,
        suppress_health_check=_SLOW,
        phases=[Phase.generate],  # a red run ends soon; the developer profile shrinks what it found
    ),
    "developer": settings(
        max_examples=2000, stateful_step_count=50, deadline=None, suppress_health_check=_SLOW, database=None
    ),
}


@pytest.mark.timeout(7200)
def test_the_ledger_answers_as_its_model_does(stack: StackUnderTest, new_user: object) -> None:
    assert callable(new_user)
    owner: User = new_user()
    with Database.connect(stack.database_url) as connection:

        class Machine(LedgerMachine):
            pass

        Machine.connection = connection
        Machine.owner = UUID(str(owner.user_id))
        profile = PROFILES[os.environ.get("TALLYBASE_MODEL_PROFILE", "ci")]
        run_state_machine_as_test(Machine, settings=profile)
