"""The twin's pages in a real browser: paid by keyboard, accessible in light and dark, readable on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from stripe.checkout import Session

from tests.browser.conftest import artifacts_directory
from tests.money.twin.server import Server

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "frontend/node_modules/axe-core/axe.min.js"
PHONE = ViewportSize(width=320, height=640)


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


def new_session(server: Server, **more: Any) -> Session:
    """Return a session that leads back to the twin itself, so that the browser stays offline."""
    params: Any = {
        "mode": "payment",
        "success_url": f"{server.url}/_twin/health?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{server.url}/_twin/health?canceled",
        "line_items": [
            {
                "quantity": 2,
                "price_data": {
                    "currency": "usd",
                    "unit_amount": 950,
                    "product_data": {"name": "A pack of 250 credits with quite a long name"},
                },
            }
        ],
        **more,
    }
    return server.client.v1.checkout.sessions.create(params)


def fill(page: Page, number: str) -> None:
    """Fill the form by keyboard alone, from the first field on."""
    page.get_by_label("E-mail").focus()
    for text in ("jenny@example.com", number, "1234", "123", "Jenny Rosen"):
        page.keyboard.press("Control+A")
        page.keyboard.type(text)
        page.keyboard.press("Tab")


def test_a_customer_declined_then_challenged_pays_by_keyboard(browser: Browser, server: Server) -> None:
    session = new_session(server)
    page = browser.new_page()
    page.goto(session.url or "")
    fill(page, "4000000000000002")
    page.keyboard.press("Enter")
    page.get_by_text("Your card was declined.").wait_for()
    assert page.evaluate("document.activeElement.id") == "number"
    fill(page, "4000002760003184")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Complete").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/health?session={session.id}")
    page.go_back()
    page.goto(session.url or "")
    page.get_by_role("heading", name="Payment complete").wait_for()
    assert len([one for one in server.client.v1.charges.list().data if one.paid]) == 1
    page.close()


def test_an_impatient_double_click_pays_once(browser: Browser, server: Server) -> None:
    session = new_session(server)
    page = browser.new_page()
    page.goto(session.url or "")
    fill(page, "4242424242424242")
    page.get_by_role("button", name="Pay $19.00").dblclick()
    page.wait_for_url(f"**/health?session={session.id}")
    paid = server.client.v1.checkout.sessions.retrieve(session.id)
    charges = server.client.v1.charges.list({"payment_intent": str(paid.payment_intent)})
    assert [charge.status for charge in charges.data] == ["succeeded"]
    page.close()


def test_back_leads_to_the_merchant(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(new_session(server).url or "")
    page.get_by_role("link", name="Back to Tallybase").click()
    page.wait_for_url("**/health?canceled")
    page.close()


# ---- every page, light and dark ------------------------------------------------------------------------


def _open(page: Page, server: Server) -> None:
    page.goto(new_session(server).url or "")
    page.get_by_text("Test cards").click()


def _declined(page: Page, server: Server) -> None:
    page.goto(new_session(server).url or "")
    fill(page, "4000000000000002")
    page.keyboard.press("Enter")
    page.get_by_text("Your card was declined.").wait_for()


def _challenge(page: Page, server: Server) -> None:
    page.goto(new_session(server).url or "")
    fill(page, "4000002500003155")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Complete").wait_for()


def _expired(page: Page, server: Server) -> None:
    session = new_session(server)
    server.client.v1.checkout.sessions.expire(session.id)
    page.goto(session.url or "")


def _paid(page: Page, server: Server) -> str:
    customer = server.client.v1.customers.create({"email": "owner@acme.test"})
    session = new_session(server, customer=customer.id)
    address = str(session.url)
    page.goto(address)
    page.get_by_label("Card number").focus()
    for text in ("4242424242424242", "1234", "123", "Jenny Rosen"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/health?session=**")
    page.goto(address)
    return customer.id


def _receipt(page: Page, server: Server) -> None:
    customer = _paid(page, server)
    page.goto(server.client.v1.charges.list({"customer": customer}).data[0].receipt_url or "")


def _portal(page: Page, server: Server) -> None:
    customer = _paid(page, server)
    portal: Any = {"customer": customer, "return_url": server.url}
    page.goto(server.client.v1.billing_portal.sessions.create(portal).url)


def _portal_of_subscriber(page: Page, server: Server, path: str = "") -> None:
    """Open the portal of somebody with a plan, two cards and an invoice; `{}` is the subscription's id."""
    v1 = server.client.v1
    prices = [_plan(server, name, amount) for name, amount in (("Starter", 1900), ("Pro", 4900))]
    owner: Any = {
        "email": "owner@acme.test",
        "invoice_settings": {"default_payment_method": "pm_card_visa"},
        "name": "Acme",
        "payment_method": "pm_card_visa",
    }
    customer = v1.customers.create(owner)
    v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    subscription = v1.subscriptions.create({"customer": customer.id, "items": [{"price": prices[0]}]})
    features: Any = {
        "subscription_cancel": {
            "enabled": True,
            "cancellation_reason": {"enabled": True, "options": REASONS},
        },
        "subscription_update": {
            "enabled": True,
            "proration_behavior": "always_invoice",
            "products": [{"product": _product_of(server, price), "prices": [price]} for price in prices],
        },
    }
    configuration = v1.billing_portal.configurations.create({"features": features}).id
    portal: Any = {"customer": customer.id, "return_url": server.url, "configuration": configuration}
    address = v1.billing_portal.sessions.create(portal).url
    page.goto(address + path.format(subscription.id, prices[1]))


REASONS = ["too_expensive", "missing_features", "other"]


def _plan(server: Server, name: str, amount: int) -> str:
    params: Any = {
        "currency": "usd",
        "unit_amount": amount,
        "recurring": {"interval": "month"},
        "product_data": {"name": name},
    }
    return server.client.v1.prices.create(params).id


def _product_of(server: Server, price: str) -> str:
    return str(server.client.v1.prices.retrieve(price).product)


def _portal_card_refused(page: Page, server: Server) -> None:
    _portal_of_subscriber(page, server, "/cards/add")
    page.get_by_role("button", name="Add").click()
    page.get_by_text("Enter a card number.").wait_for()


def at(path: str) -> Callable[[Page, Server], object]:
    """Return what opens a task of the portal."""
    return lambda page, server: _portal_of_subscriber(page, server, path)


PAGES: dict[str, Callable[[Page, Server], object]] = {
    "open": _open,
    "declined": _declined,
    "challenge": _challenge,
    "expired": _expired,
    "paid": _paid,
    "receipt": _receipt,
    "portal": _portal,
    "portal-with-a-plan": at(""),
    "portal-card-refused": _portal_card_refused,
    "portal-cancel": at("/subscriptions/{}/cancel"),
    "portal-update": at("/subscriptions/{}/update"),
    "portal-confirm": at("/subscriptions/{0}/update/confirm?price={1}"),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_accessible_and_fits_a_phone(
    browser: Browser, server: Server, name: str, scheme: Any
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport=PHONE, bypass_csp=True)
    page = context.new_page()
    PAGES[name](page, server)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
    assert found == []
    for width, kept in ((PHONE["width"], "phone"), (1100, "desktop")):
        page.set_viewport_size(ViewportSize(width=width, height=900))
        file = artifacts_directory() / "the-twins-pages" / f"{name}-{scheme}-{kept}.png"
        page.screenshot(path=file, full_page=True)
    context.close()


def test_a_plan_is_canceled_and_kept_and_changed_by_keyboard_alone(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    _portal_of_subscriber(page, server)

    def press(role: Any, name: str | re.Pattern[str]) -> None:
        page.get_by_role(role, name=name).focus()
        page.keyboard.press("Enter")

    press("link", "Cancel plan")
    page.get_by_label("It is too expensive").focus()
    page.keyboard.press("Space")
    press("button", "Cancel plan")
    page.get_by_text("Your plan ends on").wait_for()
    press("button", "Don't cancel plan")
    page.get_by_text("Your plan renews on").wait_for()
    press("link", "Update plan")
    page.get_by_label("Pro").focus()
    page.keyboard.press("Space")
    press("button", "Continue")
    page.get_by_text("Amount due today").wait_for()
    press("button", "Confirm")
    page.get_by_text("$49.00 every month").wait_for()
    press("button", re.compile("Make default.*Mastercard"))
    page.get_by_role("button", name=re.compile("Make default.*Visa")).wait_for()
    press("button", "Remove Visa •••• 4242")
    page.get_by_role("button", name="Remove Mastercard •••• 4444").wait_for()
    assert page.get_by_text("•••• 4242").count() == 0
    page.close()
