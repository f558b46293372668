"""Prints the demo's steps and stops it at the first claim that does not hold."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape


class UnmetError(Exception):
    """A step did not show what it promises; the text says what was expected and what came."""


class Narrator:
    """Tells the story: numbered steps, what was sent, what came back, and what was thereby shown."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self.steps = 0
        self.claims = 0

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.steps += 1
        self._console.print(f"\n[bold]{self.steps}. {escape(title)}[/bold]")

    def say(self, text: str) -> None:
        """Print something that was sent or that came back."""
        self._console.print(f"   {escape(text)}")

    def claim(self, text: str, actual: object, expected: object) -> None:
        """Print a claim that holds.

        Args:
            text: the claim, in words.
            actual: what really came.
            expected: what must have come.

        Raises:
            UnmetError: the two differ.
        """
        if actual != expected:
            raise UnmetError(f"{text}: expected {expected!r}, got {actual!r}")
        self.claims += 1
        self._console.print(f"   [green]✓[/green] {escape(text)}")

    def finish(self, seconds: float) -> None:
        """Say that all is told."""
        self._console.print(
            f"\n[green]All of it held[/green]: {self.steps} steps, {self.claims} claims, {seconds:.1f} s."
        )

    def give_up(self, reason: str) -> None:
        """Say at which step the story broke, and why."""
        self._console.print(f"   [red]✗[/red] {escape(reason)}")
        self._console.print(f"\n[red]The demo stopped at step {self.steps}.[/red]")
