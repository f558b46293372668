"""Tests of everything between Stripe and the ledger."""
