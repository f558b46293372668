"""`BaseCrew` and the two example agents: they really compute, really pay, and do nothing that is refused."""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tallybase import BaseCrew, InsufficientCredits
from tallybase.agents import QAAgent, VisualPostCreatorAgent
from tallybase.agents._text_model import TextModel, count_tokens
from tallybase.testing import FakeCredits
from tests.sdk.conftest import PRICES


class Researcher(BaseCrew):
    """Found in the price list under the name of its class."""


class SeniorResearcher(Researcher):
    """A subclass has a price of its own."""


class Renamed(BaseCrew):
    """Found in the price list under another name."""

    agent_type = "ResearchAgent"


class RenamedToo(Renamed):
    """A subclass keeps the name that was chosen."""


def test_the_agent_type_is_the_name_of_the_class_unless_chosen() -> None:
    assert [each.agent_type for each in (Researcher, SeniorResearcher, Renamed, RenamedToo)] == [
        "Researcher",
        "SeniorResearcher",
        "ResearchAgent",
        "ResearchAgent",
    ]


def test_a_crew_checks_and_consumes(fake_credits: FakeCredits) -> None:
    crew = Researcher(fake_credits)
    assert crew.check_credits_available("search", amount=100)
    assert fake_credits.ledger.spent == 0
    receipt = crew.consume_credits_for_action("search", amount=100, metadata={"query": "x"})
    assert [receipt.amount, receipt.balance] == [100, 0]
    assert fake_credits.ledger.spends[0].agent_type == "Researcher"
    quote = crew.check_credits_available("search")
    assert not quote
    assert quote.reason == "insufficient_credits"
    with pytest.raises(InsufficientCredits):
        crew.consume_credits_for_action("search")


def test_a_crew_in_a_repeated_run_is_charged_once(fake_credits: FakeCredits) -> None:
    crew = Researcher(fake_credits)
    for _ in range(2):
        with fake_credits.run(run_id="r"):
            crew.consume_credits_for_action("search")
            crew.consume_credits_for_action("search")
    assert fake_credits.ledger.spent == 2


def test_a_crew_makes_its_client_from_the_environment_and_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBASE_URL", "https://billing.test")
    monkeypatch.setenv("TALLYBASE_KEY", "sb_publishable_x")
    monkeypatch.delenv("TALLYBASE_AGENT_KEY", raising=False)
    crew = Researcher()
    crew.close()
    with pytest.raises(Exception, match="closed"):
        crew.check_credits_available("search")


def test_the_designer_pays_25_for_an_image_that_depends_on_the_prompt() -> None:
    client = FakeCredits(balance=60, prices=PRICES)
    designer = VisualPostCreatorAgent(client)
    sunset = designer.find_background_image("A calm ocean at sunset", width=640, height=480)
    night = designer.find_background_image("City at night")
    assert client.ledger.spent == 50
    assert ElementTree.fromstring(sunset.svg).get("width") == "640"
    assert sunset.moods == ("calm", "ocean", "sunset")
    assert night.moods == ("city", "night")
    assert sunset.palette != night.palette
    with pytest.raises(InsufficientCredits) as caught:
        designer.find_background_image("One more")
    assert caught.value.topup_url


def test_the_same_prompt_finds_the_same_image() -> None:
    client = FakeCredits(balance=50, prices=PRICES)
    designer = VisualPostCreatorAgent(client)
    assert designer.find_background_image("Forests") == designer.find_background_image("Forests")


def test_the_helper_answers_from_its_documents_and_pays_by_the_token() -> None:
    client = FakeCredits(balance=100, prices=PRICES)
    documents = ("The office opens at nine. It closes at five.", "Lunch is served in the garden.")
    answer = QAAgent(client, documents=documents).answer_question("When does it close?")
    assert answer.text == "It closes at five."
    assert answer.source == documents[0]
    assert answer.output_tokens == 5
    spend = client.ledger.spends[0]
    assert spend.quantities == {"input_tokens": answer.input_tokens, "output_tokens": 5}
    assert spend.amount == 5 + answer.input_tokens * Decimal("0.0005") + 5 * Decimal("0.0015")


def test_the_helper_does_not_ask_its_model_without_credits() -> None:
    client = FakeCredits(balance=5, prices=PRICES)
    agent = QAAgent(client)
    agent.model = _Unaskable(agent.documents)
    with pytest.raises(InsufficientCredits):
        agent.answer_question("Who sees the invoices?")
    assert client.ledger.spends == []


class _Unaskable(TextModel):
    def complete(self, question: str) -> None:  # type: ignore[override]
        raise AssertionError("the model was asked without credits")


def test_the_model_says_when_it_does_not_know() -> None:
    completion = TextModel(["Cats purr."]).complete("Why is the sky blue?")
    assert (completion.text, completion.passage) == ("I do not know.", None)
    assert completion.input_tokens == count_tokens("Why is the sky blue?") + 3
