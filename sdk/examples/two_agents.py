"""Runs two agents under one agent key until they are refused, and shows the link to top up.

export TALLYBASE_URL=http://127.0.0.1:54321 TALLYBASE_KEY=sb_publishable_... TALLYBASE_AGENT_KEY=tb_...
python sdk/examples/two_agents.py --pause 0.5
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import TypeVar

from tallybase import Credits, InsufficientCredits, LimitExceeded, Run, SpendRefused, TallybaseError
from tallybase.agents import QAAgent, VisualPostCreatorAgent
from tallybase.errors import plain

T = TypeVar("T")

POSTS = (
    "Autumn coffee break",
    "A calm ocean at sunset",
    "Snow on the mountain",
    "City night, energy and love",
)
QUESTIONS = (
    "When are purchased credits booked?",
    "Who sees the invoices?",
    "What does a refused action cost?",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both agents in turn until a refusal. Returns 0 when the refusal came, 1 for any other error."""
    options = _options(arguments)
    with Credits.from_env() as credits:
        print(f"Balance at the start: {plain(credits.balance().available)} credits", flush=True)
        try:
            with credits.run(run_id=options.run_id, budget=options.budget) as run:
                _work(credits, run, options.rounds, options.pause)
        except SpendRefused as refusal:
            _explain(refusal)
        except TallybaseError as error:
            print(f"Stopped: {error}", file=sys.stderr)
            return 1
        print(f"Balance at the end: {plain(credits.balance().available)} credits", flush=True)
    return 0


def _work(credits: Credits, run: Run, rounds: int | None, pause: float) -> None:
    """Let the agents take turns; every step is charged to the run and printed."""
    designer = VisualPostCreatorAgent(credits)
    helper = QAAgent(credits)
    print(f"Run {run.id}", flush=True)
    for number in itertools.count() if rounds is None else range(rounds):
        post, question = POSTS[number % len(POSTS)], QUESTIONS[number % len(QUESTIONS)]
        image = _step(run, designer.agent_type, partial(designer.find_background_image, post))
        print(f"    {post!r} -> {', '.join(image.palette)}", flush=True)
        time.sleep(pause)
        answer = _step(run, helper.agent_type, partial(helper.answer_question, question))
        print(f"    {question!r} -> {answer.text}", flush=True)
        time.sleep(pause)


def _step(run: Run, name: str, work: Callable[[], T]) -> T:
    before = run.spent
    result = work()
    print(f"{name} paid {plain(run.spent - before)} credits, {plain(run.spent)} in this run", flush=True)
    return result


def _explain(refusal: SpendRefused) -> None:
    """Say to a person what happened and what to do."""
    print(f"\nRefused ({refusal.slug}): {refusal}", flush=True)
    if isinstance(refusal, InsufficientCredits) and refusal.topup_url:
        print(f"Top up here: {refusal.topup_url}", flush=True)
    elif isinstance(refusal, LimitExceeded) and refusal.resets_at:
        print(f"Wait until {refusal.resets_at:%Y-%m-%d %H:%M %Z}, or ask for a higher limit.", flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help="stop after so many rounds (default: at the refusal)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between steps (default: 0)")
    parser.add_argument("--run-id", help="name of this run; the same name again charges nothing twice")
    parser.add_argument("--budget", type=Decimal, help="most credits that this run may spend")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
