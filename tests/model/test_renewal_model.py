"""Free plans do what a small model of them does, in any order of calls (hypothesis; see renewal_machine.py).

`TALLYBASE_MODEL_PROFILE=developer` tells many more stories; `TALLYBASE_MODEL_EXAMPLES` says how many.
"""

from __future__ import annotations

import os
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import StackUnderTest, User

from .database import Database
from .renewal_machine import RenewalMachine
from .test_ledger_model import PROFILES


@pytest.mark.timeout(7200)
def test_free_plans_renew_as_their_model_does(stack: StackUnderTest, new_user: object) -> None:
    assert callable(new_user)
    owner: User = new_user()
    with Database.connect(stack.database_url) as connection:

        class Machine(RenewalMachine):
            pass

        Machine.connection = connection
        Machine.owner = UUID(str(owner.user_id))
        profile = PROFILES[os.environ.get("TALLYBASE_MODEL_PROFILE", "ci")]
        examples = int(os.environ.get("TALLYBASE_MODEL_EXAMPLES", profile.max_examples))
        run_state_machine_as_test(Machine, settings=settings(profile, max_examples=examples))
