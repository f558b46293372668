"""Runs concurrent histories: many clients on few tenants, round after round, each proved before the next."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

from ..database import Database, Row
from .claims import AnomalyError
from .operations import Evidence, History, gather
from .order import SerialOrder
from .vocabulary import Client
from .world import People, make_tenant

ROUND = 5000


class Round:
    """One round: new tenants, all clients at once, then the search for a serial order of each tenant."""

    def __init__(self, connection: psycopg.Connection[Row], people: People, tenants: int) -> None:
        """Make the tenants.

        Args:
            connection: as `postgres`, in autocommit, JSON numbers exact.
            people: members of every tenant.
            tenants: how many; the fewer, the more the clients collide.
        """
        self._connection = connection
        self.histories = [History(make_tenant(connection, people, number)) for number in range(tenants)]
        self.evidence: list[Evidence] = []

    def run(self, clients: Sequence[Client], operations: int, seed: int) -> float:
        """Let the clients make so many calls; return the seconds that it took.

        An error that is no refusal (a deadlock, a serialization failure) ends the run.
        """
        numbers = itertools.count()
        stopped = threading.Event()
        blocked = random.Random(seed).randrange(operations)

        def work(client: Client, randomness: random.Random) -> None:
            try:
                while (number := next(numbers)) < operations and not stopped.is_set():
                    history = randomness.choice(self.histories)
                    if number == blocked:
                        client.sit_on_the_lock(history)
                    client.step(history)
            except BaseException:
                stopped.set()
                raise

        begun = time.monotonic()
        with ThreadPoolExecutor(len(clients)) as pool:
            calls = [
                pool.submit(work, client, random.Random(seed * 1000 + number))
                for number, client in enumerate(clients)
            ]
            for call in calls:
                call.result()
        return time.monotonic() - begun

    def prove(self) -> Counter[str]:
        """Find the serial order of each tenant, and let its ledger verify itself.

        Raises:
            AnomalyError: a history has none.
        """
        seen: Counter[str] = Counter()
        self.evidence = [gather(self._connection, history.tenant) for history in self.histories]
        for history, evidence in zip(self.histories, self.evidence, strict=True):
            seen += SerialOrder(history, evidence).check()
            violations = self._connection.execute(
                "select * from billing.verify_ledger(%s)", (history.tenant.organization_id,)
            ).fetchall()
            if violations:
                raise AnomalyError(f"the ledger does not verify: {violations}")
        return seen


def run_histories(
    database_url: str,
    people: People,
    make_client: Callable[[int, random.Random], Client],
    *,
    operations: int,
    connections: int,
    tenants: int,
    seed: int,
) -> tuple[Counter[str], float, Round]:
    """Run and prove as many rounds as the operations need.

    Args:
        database_url: as `postgres`.
        people: members of every tenant.
        make_client: from a number and a seeded randomness.
        operations: calls in all.
        connections: clients at once.
        tenants: in each round.
        seed: of the clients' choices; the interleaving is the machine's.

    Returns:
        What was explained, by sort; the seconds of calling; the last round.
    """
    seen: Counter[str] = Counter()
    seconds = 0.0
    clients = [make_client(number, random.Random(seed + number)) for number in range(connections)]
    try:
        with Database.connect(database_url) as connection:
            for number in range(-(-operations // ROUND)):
                last = Round(connection, people, tenants)
                share = min(ROUND, operations - number * ROUND)
                seconds += last.run(clients, share, seed + number)
                seen += last.prove()
    finally:
        for client in clients:
            client.close()
    return seen, seconds, last
