"""Random requests as every principal: no server error, no foreign row, and nobody changes what is not theirs.

TALLYBASE_FUZZ_REQUESTS sets how many there are (20,000 before a release), TALLYBASE_FUZZ_SEED which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from tests.security.cast import PRINCIPALS, Cast, make_cast
from tests.security.catalogue import Database, functions, money_digest, relations
from tests.security.conftest import CallersOf, SigningKey
from tests.security.http import Answer, Caller, user_token
from tests.security.random_requests import Request, Requests

REQUESTS = int(os.environ.get("TALLYBASE_FUZZ_REQUESTS", "1300"))
SEED = os.environ.get("TALLYBASE_FUZZ_SEED", "2026")
#: A person of Acme through a third party's application, and in an anonymous session.
SESSIONS: dict[str, dict[str, object]] = {
    "app": {"client_id": "some-app"},
    "anonymous": {"is_anonymous": True},
}
#: Who has no business with one of the two: nothing of it may appear in their answers, or change.
NO_BUSINESS_WITH_ACME = {"anon", "stranger", "former_member"}
#: These may read Acme and change nothing.
READERS_OF_ACME = {"app", "anonymous"}
EVERYBODY = (*PRINCIPALS, *SESSIONS)


@pytest.fixture(scope="module")
def stage(owner_session: Database) -> Cast:
    """A cast whose organizations these requests alone touch."""
    return make_cast(owner_session, furnished=True)


@pytest.fixture(scope="module")
def every_caller(
    stage: Cast, callers_of: CallersOf, rest: httpx.Client, signing_key: SigningKey
) -> dict[str, Caller]:
    """A caller for each principal, and for sessions that are not the person's own."""
    made = callers_of(stage)
    for name, claims in SESSIONS.items():
        token = user_token(signing_key, stage.users["owner"], **claims)
        made[name] = Caller(name, rest, made["anon"].headers | {"Authorization": f"Bearer {token}"})
    return made


def _marks(cast: Cast, organization: UUID) -> list[str]:
    """Ids by which a row of an organization is recognised, but for those that every caller may guess."""
    is_acme = organization == cast.acme
    ids = [value for name, value in cast.ids.items() if name.startswith("foreign_") is not is_acme]
    known = {cast.ids["agent_type"], cast.ids["nonce"], cast.ids["foreign_nonce"]}
    return [str(organization), *(value for value in ids if value not in known)]


def _problem(name: str, request: Request, answer: Answer, cast: Cast) -> str:
    """What is wrong with an answer, '' when nothing is."""
    if answer.status >= 500 and answer.slug != "busy" and not _is_too_much(name, request, answer):
        return "server error"
    asked = f"{request.path}{request.body}"
    if name not in ("stranger", "service"):
        shown = [mark for mark in _marks(cast, cast.globex) if mark in answer.text and mark not in asked]
        if shown:
            return f"shows {shown} of Globex"
    if name in NO_BUSINESS_WITH_ACME:
        shown = [mark for mark in _marks(cast, cast.acme) if mark in answer.text and mark not in asked]
        if shown:
            return f"shows {shown} of Acme"
    return ""


def _is_too_much(name: str, request: Request, answer: Answer) -> bool:
    """Whether the service asked for all organizations at once, and for longer than a request may take."""
    whole = ("rpc/verify_ledger", "rpc/run_due_jobs")
    return name == "service" and answer.slug == "57014" and request.path.startswith(whole)


def _send(caller: Caller, request: Request) -> Answer:
    headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
    return caller.send(request.method, request.path, request.body, **headers)


def _numbers(place: int) -> Iterator[int]:
    yield from range(place, REQUESTS, len(EVERYBODY))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", EVERYBODY)
def test_no_request_breaks_the_server_or_what_is_not_the_callers(
    name: str, stage: Cast, every_caller: dict[str, Caller], owner_session: Database
) -> None:
    source = Requests(SEED, relations(owner_session), functions(owner_session), stage)
    untouchable = [str(stage.globex)] if name not in ("stranger", "service") else []
    if name in NO_BUSINESS_WITH_ACME | READERS_OF_ACME:
        untouchable.append(str(stage.acme))
    before = money_digest(owner_session, *untouchable)
    wrong = []
    statuses: dict[int, int] = {}
    for number in _numbers(EVERYBODY.index(name)):
        request = source.number(number)
        answer = _send(every_caller[name], request)
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if problem := _problem(name, request, answer, stage):
            wrong.append((number, problem, request, answer.status, answer.text[:300]))
    print(f"{name}: {sum(statuses.values())} requests, {dict(sorted(statuses.items()))}")
    assert wrong == [], "\n".join(map(str, wrong))
    assert money_digest(owner_session, *untouchable) == before
    assert {200, 400, 404} <= set(statuses) or REQUESTS < 1000, "the requests are of all kinds"


def test_the_ledgers_are_whole_after_it(stage: Cast, owner_session: Database) -> None:
    for organization in (stage.acme, stage.globex):
        assert (
            owner_session.execute("select * from billing.verify_ledger(%s)", (organization,)).fetchall() == []
        )
