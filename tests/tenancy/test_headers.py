"""What browsers are told about the page, and what the page may do under it."""

from __future__ import annotations

import re

import httpx
import pytest

from stack.settings import REPOSITORY
from tests.conftest import StackUnderTest

_PAGE = REPOSITORY / "docs" / "how-to" / "page-headers.md"


def _policy(text: str) -> dict[str, set[str]]:
    parts = (directive.split() for directive in text.split(";") if directive.strip())
    return {name: set(sources) for name, *sources in parts}


@pytest.mark.parametrize(
    "path", ["/", "/organizations/x/billing", "/invitation", "/config.json", "/mark.svg"]
)
def test_the_page_comes_with_its_security_headers(path: str, stack: StackUnderTest) -> None:
    answer = httpx.get(stack.frontend_url + path, timeout=30)
    policy = _policy(answer.headers["Content-Security-Policy"])
    assert policy["default-src"] == {"'none'"}
    scripts = {"'self'", "https://js.stripe.com", stack.stripe_twin_url}
    assert policy["script-src"] == scripts, "no inline script, no eval"
    assert policy["frame-src"] == {"https://js.stripe.com", "https://hooks.stripe.com", stack.stripe_twin_url}
    assert {stack.supabase_url, stack.supabase_url.replace("http", "ws", 1), stack.workers_url} <= policy[
        "connect-src"
    ]
    assert policy["frame-ancestors"] == policy["base-uri"] == {"'none'"}
    assert "*" not in {source for sources in policy.values() for source in sources}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_the_documented_headers_are_those_that_the_gateway_sends(stack: StackUnderTest) -> None:
    block = re.search(r"^```text\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    documented = httpx.Headers([tuple(line.split(": ", 1)) for line in block[1].splitlines()])
    sent = httpx.get(stack.frontend_url, timeout=30).headers
    for name, value in documented.items():
        if name not in ("content-security-policy", "strict-transport-security"):
            assert sent[name] == value
    ours = {
        "https://<ref>.supabase.co": stack.supabase_url,
        "wss://<ref>.supabase.co": stack.supabase_url.replace("http", "ws", 1),
        "https://workers.example": stack.workers_url,
    }
    shown = {
        name: {ours.get(source, source) for source in sources}
        for name, sources in _policy(documented["Content-Security-Policy"]).items()
    }
    for directive in ("script-src", "connect-src", "frame-src"):
        shown[directive].add(stack.stripe_twin_url)
    assert _policy(sent["Content-Security-Policy"]) == shown


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1.evil.test"])
@pytest.mark.parametrize("entry_point", ["send_invitation", "exchange_agent_key", "create_checkout_session"])
def test_a_foreign_page_may_not_read_the_workers(
    entry_point: str, origin: str, stack: StackUnderTest
) -> None:
    url = f"{stack.workers_url}/workers/v1/{entry_point}"
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (
        httpx.options(url, headers=headers, timeout=30),
        httpx.post(url, json={}, headers=headers, timeout=30),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    own = httpx.options(url, headers=headers | {"Origin": stack.frontend_url}, timeout=30)
    assert own.headers["Access-Control-Allow-Origin"] == stack.frontend_url
    assert "Access-Control-Allow-Credentials" not in own.headers
    assert own.headers["Content-Security-Policy"].startswith("default-src 'none'")
