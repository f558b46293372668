"""The stand-in for Stripe.js in a browser, found by the unchanged loader of `@stripe/stripe-js`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Route, ViewportSize, expect, sync_playwright

from tests.money.twin.server import Server

pytestmark = pytest.mark.browser

MODULES = Path(__file__).parents[3] / "frontend/node_modules"
AXE = MODULES / "axe-core/axe.min.js"
TIMEOUT_MS = 15_000
PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"></head>
<body><main><h1>Shop</h1><div id="element"></div><button id="pay">Pay</button></main>
<script type="module">
import { loadStripe } from "/pure.mjs";
window.stripe = await loadStripe("pk_test_shop");
</script></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[Server]:
    running = Server(environment)
    yield running
    running.stop()


class Merchant(BaseHTTPRequestHandler):
    """The merchant's server: one page and the loader. Browsers let no routed page reach a local address."""

    def do_GET(self) -> None:
        """Answer the loader, or the page at any other path."""
        is_loader = self.path.endswith("pure.mjs")
        loader = MODULES / "@stripe/stripe-js/dist/pure.mjs"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_loader else "text/html")
        self.end_headers()
        self.wfile.write(loader.read_bytes() if is_loader else PAGE.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def merchant() -> Iterator[str]:
    """The address of the merchant's page."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Merchant)
    thread = Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()
    thread.join()


class Shop:
    """A merchant's page in a browser; what it asks Stripe for, the twin answers."""

    def __init__(self, page: Page, server: Server, merchant: str) -> None:
        self.page = page
        self.server = server
        self.url = merchant
        self.asked_stripe: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.route("https://js.stripe.com/**", self._serve_script)
        page.goto(merchant)
        page.wait_for_function("window.stripe !== undefined")

    def _serve_script(self, route: Route) -> None:
        self.asked_stripe.append(route.request.url)
        script = httpx.get(f"{self.server.url}/endive/stripe.js").text
        route.fulfill(body=script, content_type="text/javascript")

    @property
    def frame(self) -> FrameLocator:
        """The Payment Element's frame."""
        return self.page.frame_locator("#element iframe")

    @property
    def bank(self) -> FrameLocator:
        """The frame of the bank's question."""
        return self.page.frame_locator("dialog iframe")

    def enter(self, number: str) -> None:
        """Fill the card form by keyboard alone."""
        self.frame.get_by_label("Card number").focus()
        for text in (number, "1240", "123"):
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(text)
            self.page.keyboard.press("Tab")

    def mount(self, client_secret: str) -> None:
        """Show a Payment Element for an intent."""
        self.page.evaluate(
            """async (clientSecret) => {
                window.elements = stripe.elements({ clientSecret });
                const element = elements.create("payment");
                const isReady = new Promise((resolve) => element.on("ready", resolve));
                element.mount("#element");
                await isReady;
            }""",
            client_secret,
        )

    def begin(self, expression: str) -> None:
        """Begin something whose outcome is asked for later."""
        self.page.evaluate(
            f"() => {{ window.outcome = undefined; {expression}.then(o => window.outcome = o) }}"
        )

    def outcome(self) -> Any:
        """What came of it."""
        self.page.wait_for_function("window.outcome !== undefined")
        return json.loads(self.page.evaluate("JSON.stringify(window.outcome)"))


@pytest.fixture
def shop(browser: Browser, server: Server, merchant: str) -> Iterator[Shop]:
    page = browser.new_page()
    yield Shop(page, server, merchant)
    page.close()


CONFIRM = 'stripe.confirmPayment({ elements, redirect: "if_required" })'


def new_intent(server: Server, **more: Any) -> Any:
    """A payment of $19."""
    params: Any = {"amount": 1900, "currency": "usd", **more}
    return server.client.v1.payment_intents.create(params)


def test_the_loader_asks_stripe_for_its_release_and_is_content_with_the_twins(shop: Shop) -> None:
    assert shop.asked_stripe == ["https://js.stripe.com/endive/stripe.js"]
    assert shop.page.evaluate("Stripe.version") == "endive"


def test_a_declined_card_says_why_and_another_one_pays_the_same_intent(shop: Shop, server: Server) -> None:
    intent = new_intent(server)
    shop.mount(intent.client_secret)
    shop.enter("4000000000009995")
    shop.begin(CONFIRM)
    refused = shop.outcome()["error"]
    shop.enter("4242424242424242")
    shop.begin(CONFIRM)

    assert (refused["code"], refused["decline_code"]) == ("card_declined", "insufficient_funds")
    assert shop.outcome()["paymentIntent"]["status"] == "succeeded"
    charges = server.client.v1.charges.list({"payment_intent": intent.id}).data
    assert [charge.status for charge in charges] == ["succeeded", "failed"]


def test_a_mistake_in_the_form_is_shown_at_its_field_and_nothing_is_sent(shop: Shop, server: Server) -> None:
    shop.mount(new_intent(server).client_secret)
    shop.enter("4242424242424241")
    shop.begin(CONFIRM)

    assert shop.outcome()["error"]["type"] == "validation_error"
    field = shop.frame.get_by_label("Card number")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(shop.frame.get_by_text("Your card number is invalid.")).to_be_visible()


@pytest.mark.parametrize("answer", ["Complete", "Fail", "Escape"])
def test_the_bank_asks_over_the_page_and_the_answer_counts(shop: Shop, server: Server, answer: str) -> None:
    shop.mount(new_intent(server).client_secret)
    shop.enter("4000002760003184")
    shop.begin(CONFIRM)
    expect(shop.bank.get_by_role("heading", name="3-D Secure: confirm your payment")).to_be_visible()
    expect(shop.bank.get_by_role("button", name="Complete")).to_be_focused()
    if answer == "Escape":
        shop.page.keyboard.press("Escape")
    else:
        shop.bank.get_by_role("button", name=answer).press("Enter")

    outcome = shop.outcome()

    expect(shop.page.locator("dialog")).to_have_count(0)
    if answer == "Complete":
        assert outcome["paymentIntent"]["status"] == "succeeded"
    else:
        assert outcome["error"]["code"] == "payment_intent_authentication_failure"


def test_a_card_is_saved_with_a_setup_intent(shop: Shop, server: Server) -> None:
    customer = server.client.v1.customers.create({"email": "jenny@example.com"})
    setup = server.client.v1.setup_intents.create({"customer": customer.id})
    shop.mount(str(setup.client_secret))
    shop.enter("4000002500003155")
    shop.begin('stripe.confirmSetup({ elements, redirect: "if_required" })')
    shop.bank.get_by_role("button", name="Complete").click()

    assert shop.outcome()["setupIntent"]["status"] == "succeeded"
    (card,) = server.client.v1.customers.payment_methods.list(customer.id).data
    assert card.card is not None
    assert card.card.last4 == "3155"


def test_a_payment_refused_while_the_customer_was_away_is_confirmed_by_them_later(
    shop: Shop, server: Server
) -> None:
    """An automatic top-up: the bank asked off session; this very payment is confirmed with its saved card."""
    client = server.client
    customer = client.v1.customers.create({"email": "jenny@example.com"})
    card = client.v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": customer.id})
    away: Any = {"customer": customer.id, "payment_method": card.id, "confirm": True, "off_session": True}
    with pytest.raises(Exception, match="requires authentication"):
        new_intent(server, **away)
    (intent,) = client.v1.payment_intents.list({"customer": customer.id}).data

    known = {"payment_method": card.id}
    options = {"clientSecret": intent.client_secret, "confirmParams": known, "redirect": "if_required"}
    shop.begin(f"stripe.confirmPayment({json.dumps(options)})")
    shop.bank.get_by_role("button", name="Complete").click()

    assert shop.outcome()["paymentIntent"]["status"] == "succeeded"
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_what_waits_for_the_bank_is_taken_up_again(shop: Shop, server: Server) -> None:
    method = "pm_card_authenticationRequired"
    intent = new_intent(server, payment_method=method, confirm=True, use_stripe_sdk=True)
    assert intent.status == "requires_action"

    shop.begin(f"stripe.handleNextAction({json.dumps({'clientSecret': intent.client_secret})})")
    shop.bank.get_by_role("button", name="Complete").click()

    assert shop.outcome()["paymentIntent"]["status"] == "succeeded"


def test_a_bank_account_pays_and_the_page_is_told_that_it_takes_time(shop: Shop, server: Server) -> None:
    shop.mount(new_intent(server).client_secret)
    shop.frame.get_by_label("US bank account").check()
    shop.frame.get_by_label("Name on account").fill("Jenny Rosen")
    shop.frame.get_by_label("Account number").fill("000123456789")
    shop.begin(CONFIRM)

    assert shop.outcome()["paymentIntent"]["status"] == "processing"


def test_after_a_redirect_the_return_page_is_told_which_payment_it_was(shop: Shop, server: Server) -> None:
    intent = new_intent(server)
    shop.mount(intent.client_secret)
    shop.enter("4242424242424242")
    confirm = {"confirmParams": {"return_url": f"{shop.url}done?order=7"}}
    shop.page.evaluate(f"void stripe.confirmPayment({{ elements, ...{json.dumps(confirm)} }})")

    shop.page.wait_for_url(f"**/done?order=7&payment_intent={intent.id}&*&redirect_status=succeeded")


def test_the_pages_own_script_never_sees_a_number(shop: Shop, server: Server) -> None:
    shop.mount(new_intent(server).client_secret)
    shop.page.evaluate(
        "window.heard = []; addEventListener('message', (e) => heard.push(JSON.stringify(e.data)))"
    )
    shop.enter("4242424242424242")
    shop.begin(CONFIRM)
    assert shop.outcome()["paymentIntent"]["status"] == "succeeded"

    heard = "".join(shop.page.evaluate("heard"))
    assert "pm_" in heard
    assert "424242" not in heard.replace(" ", "")


@pytest.mark.parametrize("theme", ["stripe", "night"])
def test_the_form_is_accessible_and_fits_a_phone(
    browser: Browser, server: Server, merchant: str, theme: str
) -> None:
    context = browser.new_context(viewport=ViewportSize(width=320, height=640), bypass_csp=True)
    shop = Shop(context.new_page(), server, merchant)
    secret = new_intent(server).client_secret
    shop.page.evaluate(
        """async ([clientSecret, theme]) => {
            window.elements = stripe.elements({ clientSecret, appearance: { theme } });
            const element = elements.create("payment");
            const isReady = new Promise((resolve) => element.on("ready", resolve));
            element.mount("#element");
            await isReady;
        }""",
        [secret, theme],
    )
    shop.begin(CONFIRM)
    assert shop.outcome()["error"]["type"] == "validation_error"
    shop.frame.get_by_label("US bank account").check()

    frame = next(one for one in shop.page.frames if one.url.endswith("/elements/payment"))
    assert frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    frame.evaluate(AXE.read_text(encoding="utf-8"))
    rules = {"rules": {"page-has-heading-one": {"enabled": False}}}  # the page around the frame has it
    for method in ("US bank account", "Card"):
        shop.frame.get_by_label(method, exact=True).check()
        found = frame.evaluate(
            "o => axe.run(o).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))", rules
        )
        assert found == []
    context.close()
