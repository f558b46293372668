"""Edge functions run as on the platform: found by folder, started by a request, configured by config.toml."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette

from stack.config import FunctionConfig
from stack.functions.app import create_app
from stack.settings import StackSettings

ECHO = """
Deno.serve(async (request: Request) => Response.json({
  path: new URL(request.url).pathname + new URL(request.url).search,
  method: request.method,
  apikey: request.headers.get("apikey"),
  authorization: request.headers.get("authorization"),
  body: await request.text(),
  keys: JSON.parse(Deno.env.get("SUPABASE_PUBLISHABLE_KEYS")!),
  secret: Deno.env.get("OWN_SECRET"),
  waits: typeof EdgeRuntime.waitUntil,
}, { status: 201, headers: { "x-from": "function" } }));
"""

Serve = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    """The instance's settings with an empty folder of functions and logs."""
    (tmp_path / "functions").mkdir()
    return replace(StackSettings.load(), supabase_dir=tmp_path, state_dir=_with_logs(tmp_path / "state"))


@pytest.fixture
async def serve(settings: StackSettings) -> AsyncIterator[Serve]:
    """Returns a function: configuration by name → client of the function server."""
    opened: list[tuple[Starlette, Any]] = []

    async def start(**functions: FunctionConfig) -> httpx.AsyncClient:
        project = settings.project.model_copy(update={"functions": functions})
        app = create_app(replace(settings, project=project))
        context = app.router.lifespan_context(app)
        await context.__aenter__()
        opened.append((app, context))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://functions", timeout=60)

    yield start
    for _, context in opened:
        await context.__aexit__(None, None, None)


def write(settings: StackSettings, name: str, source: str) -> Path:
    """Write a function's index.ts."""
    folder = settings.supabase_dir / "functions" / name
    folder.mkdir(exist_ok=True)
    file = folder / "index.ts"
    file.write_text(source)
    return file


OPEN = FunctionConfig(verify_jwt=False)


async def test_a_function_sees_the_request_untouched(settings: StackSettings, serve: Serve) -> None:
    write(settings, "echo", ECHO)
    (settings.supabase_dir / "functions" / ".env").write_text(
        "OWN_SECRET=of-the-project\nSUPABASE_URL=overridden\n"
    )
    client = await serve(echo=OPEN)
    headers = {"apikey": "sb_publishable_x", "authorization": "Bearer sb_publishable_x"}
    answer = await client.post("/echo/deeper?x=1", headers=headers, content="body")
    assert (answer.status_code, answer.headers["x-from"]) == (201, "function")
    assert answer.json() == {
        "path": "/echo/deeper?x=1",
        "method": "POST",
        "apikey": "sb_publishable_x",
        "authorization": "Bearer sb_publishable_x",
        "body": "body",
        "keys": {"default": settings.keys.publishable_key},
        "secret": "of-the-project",
        "waits": "function",
    }


async def test_an_exported_handler_is_served_too(settings: StackSettings, serve: Serve) -> None:
    write(settings, "exported", 'export default { fetch: () => new Response("hello") };')
    answer = await (await serve(exported=OPEN)).get("/exported")
    assert answer.text == "hello"


async def test_a_changed_source_is_served_at_once(settings: StackSettings, serve: Serve) -> None:
    write(settings, "changing", 'Deno.serve(() => new Response("one"));')
    client = await serve(changing=OPEN)
    assert (await client.get("/changing")).text == "one"
    write(settings, "changing", 'Deno.serve(() => new Response("two"));')
    assert (await client.get("/changing")).text == "two"


async def test_a_missing_or_disabled_function_is_not_found(settings: StackSettings, serve: Serve) -> None:
    write(settings, "off", 'Deno.serve(() => new Response("never"));')
    client = await serve(off=FunctionConfig(enabled=False, verify_jwt=False))
    for name in ("off", "nowhere", "_shared", ".env"):
        assert (await client.get(f"/{name}")).status_code == 404, name


async def test_a_broken_function_says_so(settings: StackSettings, serve: Serve) -> None:
    write(settings, "broken", 'import "./missing.ts"; Deno.serve(() => new Response("never"));')
    answer = await (await serve(broken=OPEN)).get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (503, "BOOT_ERROR")
    assert "missing.ts" in (settings.log_dir / "function-broken.log").read_text()


async def test_verify_jwt_lets_only_valid_tokens_in(settings: StackSettings, serve: Serve) -> None:
    write(settings, "guarded", 'Deno.serve(() => new Response("in"));')
    client = await serve(guarded=FunctionConfig(verify_jwt=True))
    key = jwt.PyJWK.from_dict(settings.keys.signing_key).key
    claims = {"sub": "user", "role": "authenticated", "exp": 4_000_000_000}
    valid = jwt.encode(claims, key, "ES256", headers={"kid": settings.keys.signing_key["kid"]})
    expired = jwt.encode(claims | {"exp": 1}, key, "ES256", headers={"kid": settings.keys.signing_key["kid"]})
    for token in ("", settings.keys.publishable_key, expired, valid[:-4] + "AAAA"):
        answer = await client.get("/guarded", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
    assert (await client.get("/guarded", headers={"authorization": f"Bearer {valid}"})).text == "in"


def _with_logs(state: Path) -> Path:
    (state / "logs").mkdir(parents=True)
    return state
