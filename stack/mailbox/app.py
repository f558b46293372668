"""The mailbox's page and JSON API, with the paths of Mailpit, which `supabase start` has on this port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from json import JSONDecodeError

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from stack.mailbox.page import list_page, mail_page
from stack.mailbox.smtp import smtp_server
from stack.mailbox.store import Json, Mail, MailStore
from stack.settings import HOST, StackSettings

DEFAULT_LIMIT = 50


def create_app(settings: StackSettings) -> Starlette:
    """Build the mailbox.

    Args:
        settings: names the SMTP port.

    Returns:
        An application for the mailbox port; the SMTP server runs with its lifespan.
    """
    store = MailStore()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with smtp_server(store, HOST, settings.ports.smtp):
            yield

    app = Starlette(
        routes=[
            Route("/", _index, methods=["GET"]),
            Route("/view/{mail_id}", _view, methods=["GET"]),
            Route("/api/v1/messages", _messages, methods=["GET"]),
            Route("/api/v1/messages", _delete, methods=["DELETE"]),
            Route("/api/v1/search", _search, methods=["GET"]),
            Route("/api/v1/message/{mail_id}", _message, methods=["GET"]),
            Route("/api/v1/message/{mail_id}/raw", _raw, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.state.store = store
    return app


def _store(request: Request) -> MailStore:
    store: MailStore = request.app.state.store
    return store


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def _listing(request: Request, found: list[Mail]) -> Response:
    start = _number(request, "start", 0)
    shown = found[start : start + _number(request, "limit", DEFAULT_LIMIT)]
    total = len(_store(request).newest_first())
    body: Json = {
        "total": total,
        "unread": total,
        "count": len(shown),
        "messages_count": len(found),
        "messages_unread": len(found),
        "start": start,
        "tags": [],
        "messages": [mail.summary() for mail in shown],
    }
    return JSONResponse(body)


async def _messages(request: Request) -> Response:
    return _listing(request, _store(request).newest_first())


async def _search(request: Request) -> Response:
    return _listing(request, _store(request).search(request.query_params.get("query", "")))


async def _delete(request: Request) -> Response:
    try:
        body = await request.json() if await request.body() else {}
    except JSONDecodeError:
        return JSONResponse({"Error": "invalid JSON"}, status_code=400)
    ids = body.get("IDs") if isinstance(body, dict) else None
    if ids is not None and not (isinstance(ids, list) and all(isinstance(item, str) for item in ids)):
        return JSONResponse({"Error": "IDs must be a list of strings"}, status_code=400)
    _store(request).delete(ids or None)
    return PlainTextResponse("ok")


def _not_found() -> Response:
    return JSONResponse({"Error": "message not found"}, status_code=404)


async def _message(request: Request) -> Response:
    mail = _store(request).get(request.path_params["mail_id"])
    return JSONResponse(mail.details()) if mail else _not_found()


async def _raw(request: Request) -> Response:
    mail = _store(request).get(request.path_params["mail_id"])
    return PlainTextResponse(mail.content) if mail else _not_found()


async def _index(request: Request) -> Response:
    return HTMLResponse(list_page(_store(request).newest_first()))


async def _view(request: Request) -> Response:
    mail = _store(request).get(request.path_params["mail_id"])
    return HTMLResponse(mail_page(mail)) if mail else _not_found()
