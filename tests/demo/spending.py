"""The demo's spends: two agents until the refusal, one key twenty times, fifty spends of one from ten."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from decimal import Decimal

from tallybase import Credits, InsufficientCredits, SpendRefused
from tallybase.agents import QAAgent, VisualPostCreatorAgent
from tests.demo.company import Company, compact, plain
from tests.demo.narrator import Narrator
from tests.ledger.api import in_parallel

_POSTS = ("Autumn coffee break", "A calm ocean at sunset", "Snow on the mountain")
_QUESTIONS = (
    "When are purchased credits booked?",
    "Who sees the invoices?",
    "What does a refused action cost?",
)
_ROUNDS_SHOWN = 3


def make_agent_key(company: Company, tell: Narrator) -> None:
    """Make the key under which the agents run."""
    tell.step("The owner makes an agent key")
    made = company.owner.call(
        "create_agent_key", organization_id=company.organization_id, name="Demo agents"
    ).accepted()
    company.agent_key = str(made["key"])
    tell.say(f"key tb_…_{made['key_id']}_… : shown this once, its SHA-256 is kept")
    shown = company.rows("agent_keys")
    tell.claim(
        "the list of keys has its name and no secret",
        ([key["name"] for key in shown], company.agent_key in str(shown)),
        (["Demo agents"], False),
    )
    answer = company.agent.select("credit_transactions")
    tell.claim(f"the key opens no table (HTTP {answer.status})", answer.status in (401, 403), True)


def work_until_refused(company: Company, tell: Narrator) -> None:
    """Let two agents work in turn until the database refuses."""
    tell.step("Two agents spend under that key until the database refuses")
    before = company.balance
    with Credits(
        company.stack.supabase_url, company.stack.publishable_key, agent_key=company.agent_key
    ) as client:
        refusal, paid = _work(client, tell)
    tell.say(f"refused: {refusal}")
    tell.claim(f"the slug is {refusal.slug}", refusal.slug, "insufficient_credits")
    url = refusal.topup_url if isinstance(refusal, InsufficientCredits) else None
    tell.claim("it names the page to top up", company.organization_id in (url or ""), True)
    tell.claim(f"{plain(paid)} were paid, {plain(before - paid)} are left", company.balance, before - paid)


def _work(client: Credits, tell: Narrator) -> tuple[SpendRefused, Decimal]:
    """Work until refused; returns the refusal and what was paid before it."""
    designer, helper = VisualPostCreatorAgent(client), QAAgent(client)
    with client.run() as run:
        for number in itertools.count():
            post, question = _POSTS[number % len(_POSTS)], _QUESTIONS[number % len(_QUESTIONS)]
            try:
                image = designer.find_background_image(post)
                after_image = run.spent
                answer = helper.answer_question(question)
            except SpendRefused as refusal:
                tell.say(f"… {number} rounds in all")
                return refusal, run.spent
            if number < _ROUNDS_SHOWN:
                tell.say(f"VisualPostCreatorAgent {post!r} -> {', '.join(image.palette)}")
                tell.say(f"QAAgent {question!r} -> {answer.text}")
                tell.say(f"   {plain(after_image)}, then {plain(run.spent)} credits paid in this run")
    raise AssertionError("the run ends only by a refusal")


def use_one_key_twenty_times(company: Company, tell: Narrator) -> None:
    """Send one spend twenty times at once."""
    tell.step("The same idempotency key, 20 times at once: one charge")
    before, key = company.balance, f"demo-{secrets.token_hex(8)}"
    receipts = [answer.accepted() for answer in in_parallel(20, lambda _: company.spend(3, key))]
    replayed = Counter(receipt.pop("replayed") for receipt in receipts)
    tell.say(f"receipts: {replayed[False]} first, {replayed[True]} replayed")
    tell.claim("one first receipt, 19 replays", replayed, Counter({True: 19, False: 1}))
    tell.claim("all 20 are equal", all(receipt == receipts[0] for receipt in receipts), True)
    tell.claim(f"3 credits were charged: {plain(before)} -> {plain(before - 3)}", company.balance, before - 3)
    conflict = company.spend(4, key)
    tell.claim(
        "the key with another amount is 409 idempotency_conflict",
        (conflict.status, conflict.slug),
        (409, "idempotency_conflict"),
    )


def spend_ten_fifty_times(company: Company, tell: Narrator) -> None:
    """Race fifty spends for the last ten credits."""
    tell.step("50 spends of 1 at once from a balance of 10")
    surplus = company.balance - 10
    tell.say(f"first {plain(surplus)} credits go, so that 10 are left")
    company.spend(surplus, f"demo-{secrets.token_hex(8)}").accepted()
    race = secrets.token_hex(8)
    answers = in_parallel(50, lambda number: company.spend(1, f"demo-{race}-{number}"))
    statuses = Counter(answer.status for answer in answers)
    tell.say(f"receipts: {statuses[200]}, refusals: {statuses[402]}")
    tell.claim("10 receipts, 40 refusals", statuses, Counter({402: 40, 200: 10}))
    refusals = [answer for answer in answers if answer.status == 402]
    tell.say(compact(refusals[0].details))
    tell.claim(
        "every refusal is insufficient_credits",
        {refusal.slug for refusal in refusals},
        {"insufficient_credits"},
    )
    tell.claim("the balance is 0, never below", company.balance, 0)
