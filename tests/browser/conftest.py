"""Fixtures of the browser tests: Chromium, pages that watch their console, people with an organization."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright

from stack.settings import REPOSITORY
from tests.browser.places import SLOW_MS, Site
from tests.conftest import PASSWORD, Organization, StackUnderTest, User

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives Chromium."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


def artifacts_directory() -> Path:
    """Return where screenshots are kept: `TALLYBASE_ARTIFACTS_DIR`, or `.stack/artifacts/screenshots`."""
    named = os.environ.get("TALLYBASE_ARTIFACTS_DIR")
    return Path(named) if named else REPOSITORY / ".stack" / "artifacts" / "screenshots"


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright's driver."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """The machine's Chromium, or the one that Playwright has installed."""
    program = os.environ.get("TALLYBASE_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    running = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
    yield running
    running.close()


@dataclass(frozen=True)
class Complaints:
    """What went wrong in a page without being asked for.

    Attributes:
        texts: uncaught errors, and errors in the console.
    """

    texts: list[str]

    def watch(self, page: Page) -> None:
        """Collect from this page from now on."""
        page.on("pageerror", lambda error: self.texts.append(str(error)))
        page.on("console", lambda message: self._hear(message))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.texts.append(message.text)


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fails the test when a page complained. A test that provokes errors clears the list."""
    heard = Complaints([])
    yield heard
    assert heard.texts == []


@dataclass(frozen=True)
class Look:
    """How a browser shows the page: by default on a desktop, in the light.

    Attributes:
        width: of the window, in CSS pixels.
        height: likewise.
        color_scheme: what the person has set their system to.
        reduced_motion: likewise.
    """

    width: int = 1280
    height: int = 900
    color_scheme: Literal["light", "dark"] = "light"
    reduced_motion: Literal["reduce", "no-preference"] = "no-preference"


DESKTOP = Look()


@pytest.fixture
def new_site(
    browser: Browser, stack: StackUnderTest, complaints: Complaints, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Site]]:
    """Returns a function that opens the front end in a browser context of its own, in a `Look`."""
    folder = artifacts_directory() / request.node.name
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as contexts:

        def open_site(look: Look = DESKTOP) -> Site:
            context: BrowserContext = browser.new_context(
                viewport={"width": look.width, "height": look.height},
                color_scheme=look.color_scheme,
                reduced_motion=look.reduced_motion,
                locale="en-US",
            )
            contexts.callback(context.close)
            context.set_default_timeout(SLOW_MS)
            page = context.new_page()
            complaints.watch(page)
            return Site(page, stack.frontend_url, folder)

        yield open_site


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """The front end on a desktop, nobody signed in."""
    return new_site()


@dataclass(frozen=True)
class Owner:
    """An owner signed in to the page.

    Attributes:
        site: their browser.
        organization: their organization, theirs alone.
    """

    site: Site
    organization: Organization

    def open(self, section: str = "billing", query: str = "") -> None:
        """Open a section of the organization by its address."""
        self.site.open(f"/organizations/{self.organization.organization_id}/{section}{query}")


@pytest.fixture
def new_member(new_user: Callable[[], User]) -> Callable[..., User]:
    """Returns a function: organization, role → a user who was invited with that role and has accepted."""

    def make(organization: Organization, role: str) -> User:
        user = new_user()
        arguments = {
            "organization_id": str(organization.organization_id),
            "email": user.email,
            "role": role,
        }
        invitation: Any = organization.owner.client.rpc("invite_member", arguments).execute().data
        user.client.rpc("accept_invitation", {"token": invitation["token"]}).execute()
        return user

    return make


@pytest.fixture
def new_owner(site: Site, new_organization: Callable[..., Organization]) -> Callable[..., Owner]:
    """Returns a function that signs the owner of a fresh organization in; `credits` are granted first."""

    def make(credits: int | str = 0) -> Owner:  # noqa: A002 - the domain's word
        organization = new_organization(credits)
        site.sign_in(organization.owner.email, PASSWORD)
        return Owner(site, organization)

    return make
