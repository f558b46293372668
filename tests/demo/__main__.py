"""`python -m tests.demo`: tells the main story on the running stack; status 0 only when every claim held."""

from __future__ import annotations

import os
import sys
import time

import httpx
from postgrest.exceptions import APIError
from supabase_auth.errors import AuthError

from tallybase import TallybaseError
from tests.conftest import StackUnderTest
from tests.demo import buying, doors, money, spending
from tests.demo.company import Company, plain
from tests.demo.narrator import Narrator, UnmetError


def main() -> int:
    """Run the demo."""
    stack = _running_stack()
    if httpx.get(f"{stack.workers_url}/api/health").json()["stripe_mode"] != "twin":
        print(
            "The demo pays on the local Stripe twin's page: unset STRIPE_SECRET_KEY first.", file=sys.stderr
        )
        return 2
    tell, began = Narrator(), time.monotonic()
    try:
        _tell_story(Company(stack), tell)
    except (UnmetError, AssertionError, httpx.HTTPError, TallybaseError, AuthError, APIError) as reason:
        tell.give_up(str(reason) or type(reason).__name__)
        return 1
    tell.finish(time.monotonic() - began)
    return 0


def _running_stack() -> StackUnderTest:
    """Return the instance that `make env` describes; importing tests.conftest has found it."""
    return StackUnderTest(
        supabase_url=os.environ["SUPABASE_URL"],
        publishable_key=os.environ["SUPABASE_PUBLISHABLE_KEY"],
        secret_key=os.environ["SUPABASE_SECRET_KEY"],
        database_url=os.environ["DATABASE_URL"],
        workers_url=os.environ["WORKERS_URL"],
        frontend_url=os.environ["FRONTEND_URL"],
        stripe_twin_url=os.environ["STRIPE_TWIN_URL"],
        mailbox_url=os.environ["MAILBOX_URL"],
        stripe_webhook_secret=os.environ["STRIPE_WEBHOOK_SECRET"],
    )


def _tell_story(company: Company, tell: Narrator) -> None:
    _begin(company, tell)
    session_id = buying.buy_500(company, tell)
    spending.make_agent_key(company, tell)
    spending.work_until_refused(company, tell)
    buying.be_declined(company, tell)
    buying.buy_with_3d_secure(company, tell)
    buying.deliver_again(company, session_id, tell)
    doors.call_with_curl_alone(company, tell)
    spending.use_one_key_twenty_times(company, tell)
    spending.spend_ten_fifty_times(company, tell)
    doors.be_invisible_to_strangers(company, tell)
    doors.prove_the_ledger(company, tell)
    money.MoneyStory(Company(company.stack), tell).run()


def _begin(company: Company, tell: Narrator) -> None:
    tell.step("An owner signs in and makes an organization")
    company.sign_up()
    tell.say(f"{company.email}, signed in with supabase-py")
    tell.say(f"organization {company.found()!r}, {company.organization_id}")
    tell.claim(f"the balance is {plain(company.balance)}", company.balance, 0)


if __name__ == "__main__":
    sys.exit(main())
