"""The stand-in for Stripe.js, `/v3/stripe.js`, and the frame for a card's number, `/elements/payment`."""

from __future__ import annotations

import json
from pathlib import Path

import stripe
from flask import Blueprint, Response

from stripe_twin.context import Twin
from stripe_twin.pages.rendering import page

#: The release that belongs to the API version; `@stripe/stripe-js` asks for it by that name.
RELEASE = str(stripe.api_version).rpartition(".")[2]
_FOLDER = Path(__file__).parents[1] / "static" / "stripe_js"
#: In the order in which they build on one another; together they are one script.
_PARTS = (
    "calls.js",
    "frames.js",
    "payment_element.js",
    "elements.js",
    "intents.js",
    "checkout.js",
    "stripe.js",
)


def blueprint(twin: Twin) -> Blueprint:
    """Return the script's routes, under each address that Stripe serves it at, and the frame's."""
    routes = Blueprint("stripe_js", __name__)
    script = _script(twin.settings.public_url)

    def serve() -> Response:
        headers = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        return Response(script, 200, headers, mimetype="text/javascript")

    def frame() -> Response:
        return page("payment_element.html", framed=True, merchant=twin.settings.merchant_name)

    for path in ("/v3/stripe.js", f"/{RELEASE}/stripe.js"):
        routes.add_url_rule(path, endpoint=path.split("/")[1], view_func=serve, methods=["GET"])
    routes.add_url_rule("/elements/payment", endpoint="payment_element", view_func=frame, methods=["GET"])
    return routes


def _script(public_url: str) -> str:
    """Return the script: its parts in one function, so that pages see `window.Stripe` and nothing else."""
    facts = {"origin": public_url, "release": RELEASE, "version": stripe.api_version}
    parts = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _PARTS)
    return f'(() => {{\n"use strict";\nconst TWIN = {json.dumps(facts)};\n{parts}\n}})();\n'
