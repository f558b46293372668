"""What browsers are served: no secret of the installation, and not too much before the sign-in page."""

from __future__ import annotations

import gzip
import re

import httpx

from tests.conftest import StackUnderTest

_REFERENCE = re.compile(r"""["'`(](?:\./|/)?((?:assets/)?[\w.-]+\.(?:js|css|svg))["'`)]""")
_SECRET = re.compile(r"sb_secret_\w|whsec_\w|sk_(?:test|live)_\w|service_role|BEGIN [A-Z ]*PRIVATE KEY")
SECONDS = 30.0
#: Entry, styles, the signed-in part and the charts.
FEWEST_FILES = 4
#: Gzipped, as size-limit in frontend/package.json has it for the same file.
BUDGET_BYTES = 130_000


def _served_files(frontend_url: str) -> dict[str, str]:
    """Every file that the page, or a file that it names, refers to; and the configuration."""
    files = {"config.json": httpx.get(f"{frontend_url}/config.json", timeout=SECONDS).text}
    waiting = ["index.html"]
    while waiting:
        name = waiting.pop()
        path = name if name in ("index.html", "mark.svg") or name.startswith("assets/") else f"assets/{name}"
        if path in files:
            continue
        answer = httpx.get(f"{frontend_url}/{path}", timeout=SECONDS)
        if answer.status_code == httpx.codes.OK:
            files[path] = answer.text
            waiting += _REFERENCE.findall(answer.text)
    return files


def test_no_secret_is_served(stack: StackUnderTest) -> None:
    files = _served_files(stack.frontend_url)
    assert len([name for name in files if name.startswith("assets/")]) >= FEWEST_FILES, sorted(files)
    secrets = {stack.secret_key, *stack.stripe_webhook_secret.split(",")} - {""}
    for name, text in files.items():
        for secret in secrets:
            assert secret not in text, name
        assert not _SECRET.search(text), name


def test_the_scripts_before_the_sign_in_page_stay_within_their_budget(stack: StackUnderTest) -> None:
    page = httpx.get(stack.frontend_url, timeout=SECONDS).text
    scripts = re.findall(r'(?:src|href)="(/assets/[\w.-]+\.js)"', page)
    assert scripts
    texts = [httpx.get(f"{stack.frontend_url}{script}", timeout=SECONDS).content for script in scripts]
    assert sum(len(gzip.compress(text)) for text in texts) <= BUDGET_BYTES
