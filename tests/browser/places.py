"""The pages as a person uses them: sign-in, dashboard, Stripe's checkout, the return page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

CARD_PAYS = "4242 4242 4242 4242"
CARD_DECLINED = "4000 0000 0000 0002"
CARD_ASKS_3DS = "4000 0027 6000 3184"

#: Chromium on two busy cores may take its time; a right page answers long before.
SLOW_MS = 30_000


@dataclass(frozen=True)
class Site:
    """The front end in one browser page.

    Attributes:
        page: the browser's page.
        url: the front end's address.
        artifacts: where screenshots are kept.
    """

    page: Page
    url: str
    artifacts: Path

    def shoot(self, name: str) -> Path:
        """Keep a screenshot of the whole page under `name` and return its file."""
        file = self.artifacts / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file, full_page=True)
        return file

    def open(self, path: str = "/") -> None:
        """Open a path of the front end."""
        self.page.goto(f"{self.url}{path}")

    def sign_in(self, email: str, password: str) -> None:
        """Sign in on the sign-in page and wait for an organization."""
        self.open()
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).not_to_have_text("Sign in", timeout=SLOW_MS)

    @property
    def available(self) -> Locator:
        """The figure of the credits that can be spent."""
        return self.page.get_by_test_id("available-credits")

    @property
    def available_credits(self) -> Decimal:
        """What that figure says."""
        return Decimal(self.available.inner_text().replace(",", ""))

    @property
    def paywall(self) -> Locator:
        """The paywall, when it is there."""
        return self.page.get_by_test_id("paywall")

    @property
    def outcome(self) -> Locator:
        """What the return page says about a checkout."""
        return self.page.get_by_test_id("checkout-outcome")

    def card(self, title: str) -> Locator:
        """The section with that heading."""
        return self.page.get_by_role("region", name=title, exact=True)

    def section(self, name: str) -> None:
        """Choose one of the organization's sections or of the dashboard's tabs."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def buy(self, pack: str) -> Checkout:
        """Press a pack's button and follow the browser to Stripe's page."""
        self.page.get_by_role("button", name=re.compile(rf"^Buy {re.escape(pack)} for ")).click()
        expect(self.page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)
        return Checkout(self.page)

    def decide(self, what: str, decision: str) -> Locator:
        """Open the dialog about a parked spend, choose a decision, and return the dialog."""
        self.page.get_by_role("button", name=f"Decide on {what}").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("radio", name=decision, exact=True).check()
        return dialog

    def create_agent_key(self, name: str) -> str:
        """Create an agent key on the page and return it, as it is shown this once."""
        self.section("Agent keys")
        self.page.get_by_role("button", name="Create agent key").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Name").fill(name)
        dialog.get_by_role("button", name="Create key").click()
        shown = dialog.get_by_label("Agent key")
        expect(shown).to_have_value(re.compile(r"^tb_"), timeout=SLOW_MS)
        return shown.input_value()


@dataclass(frozen=True)
class Checkout:
    """Stripe's page for one checkout."""

    page: Page

    def pay(self, card: str) -> None:
        """Fill the form in with a card and send it."""
        email = self.page.get_by_label("E-mail")
        if email.count():
            email.fill("buyer@example.com")
        self.page.get_by_label("Card number").fill(card)
        self.page.get_by_label("Expiry").fill("12 / 40")
        self.page.get_by_label("Security code").fill("123")
        self.page.get_by_label("Name on card").fill("Jenny Rosen")
        self.page.get_by_test_id("pay").click()

    def answer_challenge(self, answer: str) -> None:
        """Answer the bank's 3-D Secure page: `complete` or `fail`."""
        button = self.page.get_by_test_id(f"challenge-{answer}")
        expect(button).to_be_visible(timeout=SLOW_MS)
        button.click()

    def leave(self) -> None:
        """Go back to the shop without paying."""
        self.page.get_by_role("link", name="Back").click()
