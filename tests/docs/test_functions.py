"""The generated reference of functions is what the database says."""

from __future__ import annotations

from tests.conftest import StackUnderTest
from tests.docs.functions import PAGE, read_answers, read_functions, render


def test_the_reference_of_functions_is_what_the_database_says(stack: StackUnderTest) -> None:
    expected = render(read_functions(stack.database_url), read_answers(stack.database_url))
    assert PAGE.read_text() == expected, "run `python -m tests.docs.functions`"


def test_every_exposed_function_says_what_it_does(stack: StackUnderTest) -> None:
    assert [one.name for one in read_functions(stack.database_url) if not one.comment] == []
