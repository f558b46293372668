"""For tests of agents: clients without a server, and the ledger behind them to look into.

    credits = FakeCredits(balance=100, prices={("QAAgent", "answer_question"): 5})
    MyAgent(credits).work()
    assert credits.ledger.spent == 5

Everything but the server is real: keys, retries, combining, runs, holds, decorators. The fake server follows
the real one in what it covers, and the repository holds both against one test suite: prices by metric,
caller-priced actions, rounding up, replays and conflicts of keys, refusals for lack of credits, batches,
holds, the checks of arguments. It knows one organization without limits, departments or expiry of grants;
holds expire when a test says so (`ledger.expire_holds()`).
"""

from tallybase.testing.clients import FakeAsyncCredits, FakeCredits
from tallybase.testing.ledger import FakeLedger, Spend
from tallybase.testing.prices import Prices

__all__ = ["FakeAsyncCredits", "FakeCredits", "FakeLedger", "Prices", "Spend"]
