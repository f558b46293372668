"""The ledger against a small model of it: random stories told to both, every answer compared."""
