"""`python -m tallybase` is the command line `tallybase`."""

from __future__ import annotations

from tallybase.cli import main

if __name__ == "__main__":
    main()
