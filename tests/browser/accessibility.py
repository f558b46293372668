"""What a machine can say about a page's accessibility: axe-core's rules, and reflow on a narrow screen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from stack.settings import REPOSITORY

_AXE = REPOSITORY / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """Run axe-core on the page as it stands and return what breaks a rule, one line each."""
    page.evaluate(_AXE.read_text())
    found: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})",
        _RULES,
    )
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def sideways_overflow(page: Page) -> int:
    """Return by how many pixels the page, or any section of it, is too wide (0: nothing is cut off)."""
    width: int = page.evaluate(
        """() => {
            const sections = [...document.querySelectorAll("section")];
            const beyond = sections.map((section) => section.scrollWidth - section.clientWidth);
            return Math.max(0, document.documentElement.scrollWidth - window.innerWidth, ...beyond);
        }"""
    )
    return width
