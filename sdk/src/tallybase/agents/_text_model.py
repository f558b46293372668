"""A text model without a network: it answers with the passage that fits best (BM25) and counts tokens."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

#: The usual constants of BM25: how fast repetition saturates, how much long passages are discounted.
_SATURATION = 1.5
_LENGTH_DISCOUNT = 0.75

_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_COMMON = frozenset(
    word
    for line in (
        "a an and are as at be been by can could did do does for from had has have how i in is it its of",
        "on or that the their then there these they this to was we were what when where which",
        "who why will with you",
    )
    for word in line.split()
)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote and what that took.

    Attributes:
        text: the answer.
        passage: index of the passage that it was taken from, or None when nothing fits.
        input_tokens: tokens read.
        output_tokens: tokens written.
    """

    text: str
    passage: int | None
    input_tokens: int
    output_tokens: int


def count_tokens(text: str) -> int:
    """Count tokens: words and marks of punctuation."""
    return len(re.findall(r"\w+|[^\w\s]", text))


class TextModel:
    """Answers questions from passages.

    Args:
        passages: what the model knows.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = list(passages)
        self._terms = [Counter(_terms(passage)) for passage in self._passages]
        self._containing = Counter(term for terms in self._terms for term in terms)
        lengths = [sum(terms.values()) for terms in self._terms]
        self._average_length = sum(lengths) / len(lengths) if lengths else 1.0

    def count_input(self, question: str) -> int:
        """Count the tokens that answering a question reads: the question and every passage."""
        return count_tokens(question) + sum(count_tokens(passage) for passage in self._passages)

    def complete(self, question: str) -> Completion:
        """Answer with the best sentence of the best passage; say so when nothing fits."""
        wanted = set(_terms(question))
        scores = [self._score(wanted, terms) for terms in self._terms]
        best = max(range(len(scores)), key=scores.__getitem__, default=None)
        if best is None or scores[best] <= 0:
            return self._completion(question, "I do not know.", None)
        sentences = _SENTENCE_END.split(self._passages[best])
        text = max(sentences, key=lambda sentence: len(wanted & set(_terms(sentence))))
        return self._completion(question, text, best)

    def _completion(self, question: str, text: str, passage: int | None) -> Completion:
        return Completion(text, passage, self.count_input(question), count_tokens(text))

    def _score(self, wanted: set[str], terms: Counter[str]) -> float:
        length = sum(terms.values())
        discount = _SATURATION * (1 - _LENGTH_DISCOUNT + _LENGTH_DISCOUNT * length / self._average_length)
        return sum(
            self._rarity(term) * terms[term] * (_SATURATION + 1) / (terms[term] + discount)
            for term in wanted
            if term in terms
        )

    def _rarity(self, term: str) -> float:
        count = self._containing[term]
        return math.log(1 + (len(self._passages) - count + 0.5) / (count + 0.5))


def _terms(text: str) -> list[str]:
    """Lower-case words without common ones, cut to their stems in the crudest way."""
    words = [word.lower() for word in _WORD.findall(text)]
    return [_stem(word) for word in words if word not in _COMMON]


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "e", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
