"""Runs every check and every test on an instance of its own: `make test`."""
