"""The local stand-in for Stripe: its HTTP API, its payment pages and its signed deliveries, kept in Postgres.

`stripe_twin.app.create_app` builds the WSGI application, `python -m stripe_twin` serves it, and
`stripe_twin.client.TwinHTTPClient` lets the official library call it without a socket.
"""
