"""The workers' server treats a source file as the cloud's functions-framework does."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.test import Client

from stack.workers.application import create_app, entry_points

SOURCE = """
import functions_framework
from flask import Request

@functions_framework.http
def echo(request: Request):
    return {"path": request.path, "method": request.method, "body": request.get_data().decode()}, 202

@functions_framework.http
def api(request: Request):
    return request.full_path

def helper(request: Request):
    return "never"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source file with two entry points and a function that is none."""
    file = tmp_path / "main.py"
    file.write_text(SOURCE)
    return file


def test_only_marked_functions_are_entry_points(source: Path) -> None:
    assert entry_points(source) == ["echo", "api"]


@pytest.mark.parametrize(("path", "seen"), [("", "/"), ("/", "/"), ("/deeper/still", "/deeper/still")])
def test_an_entry_point_is_called_with_the_raw_body(source: Path, path: str, seen: str) -> None:
    body = '{"a":  1}\n'
    answer = Client(create_app(source)).post(f"/workers/v1/echo{path}", data=body)
    assert answer.status_code == 202
    assert answer.get_json() == {"path": seen, "method": "POST", "body": body}


def test_the_api_has_a_short_address_too(source: Path) -> None:
    client = Client(create_app(source))
    assert client.get("/api/credits/balance?x=1").text == "/credits/balance?x=1"
    assert client.get("/workers/v1/api/credits/balance?x=1").text == "/credits/balance?x=1"


@pytest.mark.parametrize("path", ["/", "/workers/v1", "/workers/v1/helper", "/workers/v1/ech", "/apis"])
def test_nothing_else_answers(source: Path, path: str) -> None:
    assert Client(create_app(source)).get(path).status_code == 404
