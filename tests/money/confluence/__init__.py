"""Whatever order Stripe's events come in, however often, wherever the handler dies: one ledger."""
