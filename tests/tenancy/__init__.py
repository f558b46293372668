"""Tenancy, agent keys and limits of abuse, as people and programs meet them: over HTTP, by mail, at once."""
