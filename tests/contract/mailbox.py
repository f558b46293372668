"""Reads mail of a test's recipients, from Mailpit or from the stack's mailbox."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.contract.target import Json, Target

ARRIVAL_SECONDS = 10.0


@dataclass(frozen=True)
class Letter:
    """A mail with a one-time token."""

    subject: str
    text: str
    link: str

    @property
    def code(self) -> str:
        """The code to type."""
        found = re.search(r"(?<!\w)(\d{6,10})(?!\w)", self.text.replace(self.link, ""))
        assert found is not None, self.text
        return found.group(1)

    @property
    def token_hash(self) -> str:
        """The hash that the link carries."""
        return parse_qs(urlsplit(self.link).query)["token"][0]


class Mailbox:
    """The mails that the project sent.

    Args:
        target: names the mailbox.
    """

    def __init__(self, target: Target) -> None:
        self._http = httpx.Client(base_url=target.mailbox_url, timeout=10)

    def letters(self, recipient: str) -> list[Letter]:
        """All letters to an address, newest first."""
        found = self._http.get("/api/v1/search", params={"query": f"to:{recipient}"})
        found.raise_for_status()
        return [self._letter(summary["ID"]) for summary in found.json()["messages"]]

    def newest(self, recipient: str, count: int = 1) -> Letter:
        """Wait until an address has so many letters and return the newest.

        Raises:
            AssertionError: they did not come.
        """
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            letters = self.letters(recipient)
            if len(letters) >= count:
                return letters[0]
            time.sleep(0.05)
        raise AssertionError(f"{recipient} has not got {count} letters within {ARRIVAL_SECONDS} s")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _letter(self, mail_id: str) -> Letter:
        mail: Json = self._http.get(f"/api/v1/message/{mail_id}").raise_for_status().json()
        link = re.search(r"https?://\S+/verify\?[^\s)]+", mail["Text"])
        return Letter(mail["Subject"], mail["Text"], link.group(0) if link else "")
