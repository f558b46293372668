"""Browser tests: the page in Chromium against the real stack."""
