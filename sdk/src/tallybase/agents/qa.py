"""`QAAgent`: answers questions from documents and pays by the call and the token, once they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tallybase._calls import Number
from tallybase.agents._text_model import TextModel
from tallybase.client import Credits
from tallybase.crew import BaseCrew
from tallybase.decorators import consumes_credits

#: What the agent knows unless it is given other documents.
HANDBOOK = (
    "Credits are bought in packs. A pack is booked as soon as the payment has succeeded, and purchased "
    "credits do not expire unless the pack says so.",
    "Every action of an agent has a price in credits. An action that cannot be paid is refused before the "
    "work is done, and a refused action costs nothing.",
    "A department can have a limit for each day, week or month. When the limit is reached, its agents are "
    "refused until the window ends.",
    "An agent identifies itself with an agent key. The key is shown once and can be revoked at any time; "
    "after that every call with it is refused.",
    "Owners, admins and billing members see invoices and payments. Members see the balance and "
    "their own usage.",
)

#: Tokens that an answer is taken to have before it is known.
_EXPECTED_OUTPUT_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it comes from.

    Attributes:
        text: the answer.
        source: the document that it was taken from, or None when nothing fits.
        input_tokens: tokens that the model read.
        output_tokens: tokens that it wrote.
    """

    text: str
    source: str | None
    input_tokens: int
    output_tokens: int


def _used(answer: Answer) -> dict[str, Number]:
    return {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}


def _expected(agent: QAAgent, question: str) -> dict[str, Number]:
    """What answering will use: the input exactly, the output as a guess."""
    return {"input_tokens": agent.model.count_input(question), "output_tokens": _EXPECTED_OUTPUT_TOKENS}


class QAAgent(BaseCrew):
    """Answers questions from documents.

    Args:
        credits: see `BaseCrew`.
        documents: what it answers from.
        department_id: see `BaseCrew`.
    """

    def __init__(
        self,
        credits: Credits | None = None,
        *,
        documents: Sequence[str] = HANDBOOK,
        department_id: UUID | str | None = None,
    ) -> None:
        super().__init__(credits, department_id=department_id)
        self.documents = tuple(documents)
        self.model = TextModel(self.documents)

    @consumes_credits(quantities_from_result=_used, estimate=_expected)
    def answer_question(self, question: str) -> Answer:
        """Answer a question. The estimate is checked before, the tokens that were used are charged after.

        Args:
            question: in plain words.

        Raises:
            SpendRefused: there are too few credits; nothing was asked of the model.
        """
        completion = self.model.complete(question)
        source = None if completion.passage is None else self.documents[completion.passage]
        return Answer(completion.text, source, completion.input_tokens, completion.output_tokens)
