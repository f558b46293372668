"""The people of the attacks: two organizations with every kind of principal and rows in every table."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from tests.security.catalogue import Database

_HERE = Path(__file__).parent
#: What the token of principal `agent_token` says of itself; its key has the same scopes.
AGENT_TOKEN_SCOPES = ("check", "consume", "hold", "read")
#: Everybody who may call, as the access matrix names them. All but anon, agent, agent_token and service are
#: people.
PRINCIPALS = (
    "anon",
    "stranger",
    "former_member",
    "member",
    "department_member",
    "billing",
    "admin",
    "owner",
    "agent",
    "agent_token",
    "service",
)
_ROLES = {
    "owner": "owner",
    "admin": "admin",
    "billing": "billing",
    "member": "member",
    "department_member": "member",
    "former_member": "member",
}


@dataclass
class Cast:
    """Two organizations and their people.

    Attributes:
        acme: the organization that is attacked, and whose members the principals are.
        globex: the organization whose owner is the stranger.
        users: principal → user id.
        agent_key: the agent's key, of Acme.
        ids: everything else that calls name: departments, a grant, a hold, a transaction and so on.
    """

    acme: UUID
    globex: UUID
    users: dict[str, UUID]
    agent_key: str = ""
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the matrix's SQL conditions refer to, without the caller."""
        return {"acme": self.acme, "globex": self.globex, "department": self.ids["department"]}


def make_cast(database: Database, *, furnished: bool = False) -> Cast:
    """Make the cast.

    Args:
        database: a session of the schema's owner.
        furnished: whether every table gets rows for both organizations.
    """
    with database.transaction():
        users = {name: _person(database, name) for name in (*_ROLES, "stranger")}
        acme = _organization(database, "Acme", users["owner"])
        globex = _organization(database, "Globex", users["stranger"])
        cast = Cast(acme, globex, users)
        _settle_acme(database, cast)
        for organization in (acme, globex):
            _spend(database, cast, organization)
            if furnished:
                _furnish(database, cast, organization)
    return cast


def _person(database: Database, name: str) -> UUID:
    user_id = uuid4()
    database.execute(
        """
        insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at, raw_app_meta_data,
          raw_user_meta_data, created_at, updated_at)
        values ('00000000-0000-0000-0000-000000000000', %s, 'authenticated', 'authenticated', %s, now(), '{}',
          '{"role": "owner"}', now(), now())
        """,
        (user_id, f"{name.replace('_', '-')}-{secrets.token_hex(6)}@security.test"),
    )
    return user_id


def _one(database: Database, query: str, *parameters: object) -> Any:
    row = database.execute(query, parameters).fetchone()
    assert row is not None
    return next(iter(row.values()))


def _organization(database: Database, name: str, owner: UUID) -> UUID:
    query = "select (billing.create_organization(%s, %s)).organization_id"
    organization: UUID = _one(database, query, f"{name} {secrets.token_hex(6)}", owner)
    return organization


def _settle_acme(database: Database, cast: Cast) -> None:
    """Departments, roles, prices and a key."""
    acme, users = cast.acme, cast.users
    department = "select (billing.create_department(%s, %s)).id"
    cast.ids["department"] = str(_one(database, department, acme, "Marketing"))
    cast.ids["other_department"] = str(_one(database, department, acme, "Support"))
    cast.ids["foreign_department"] = str(_one(database, department, cast.globex, "Research"))
    for name, role in _ROLES.items():
        if name != "owner":
            bound = cast.ids["department"] if name == "department_member" else None
            database.execute(
                "insert into billing.organization_members (organization_id, user_id, role, department_id) "
                "values (%s, %s, %s, %s)",
                (acme, users[name], role, bound),
            )
    cast.ids["agent_type"] = f"Agent-{secrets.token_hex(6)}"
    database.execute(
        "select billing.set_agent_action_cost(%s, 'do', 0, 'call', true)", (cast.ids["agent_type"],)
    )
    for organization in (acme, cast.globex):
        price = "select billing.set_agent_action_cost(%s, 'paint', 25, organization_id => %s)"
        database.execute(price, (cast.ids["agent_type"], organization))
    cast.agent_key = _one(database, "select (billing.create_agent_key(%s, 'agent')).key", acme)
    cast.ids["key_id"] = cast.agent_key.split("_")[2]
    foreign_key = _one(database, "select (billing.create_agent_key(%s, 'agent')).key", cast.globex)
    cast.ids["foreign_key_id"] = foreign_key.split("_")[2]


def _spend(database: Database, cast: Cast, organization: UUID) -> None:
    """A grant, a limit of each kind, and spends: by the bound member, by another, and by the agent."""
    prefix = "" if organization == cast.acme else "foreign_"
    grant = "select (billing.grant_credits(%s, 1000, 'promotion', 'start')).grant_id"
    cast.ids[f"{prefix}grant"] = str(_one(database, grant, organization))
    department = cast.ids[f"{prefix}department"]
    for subject_type, subject_id in (("department", department), ("organization", str(organization))):
        limit = "select billing.set_credit_limit(%s, %s, 900, 'month', organization_id => %s)"
        database.execute(limit, (subject_type, subject_id, organization))
    speakers: list[tuple[str, str | None]] = [("stranger", None)]
    if organization == cast.acme:
        speakers = [
            ("member", None),
            ("department_member", department),
            ("admin", department),
            ("agent", None),
            ("former_member", None),
        ]
    for speaker, charged in speakers:
        speak(database, cast, speaker)
        spend = """
            select (billing.consume_credits(%s, 'do', amount => 1, organization_id => %s, department_id => %s,
              metadata => '{"model": "m-1"}')).transaction_id
        """
        transaction_id = _one(database, spend, cast.ids["agent_type"], organization, charged)
        cast.ids[
            f"{prefix}transaction"
            if speaker in ("department_member", "stranger")
            else f"{speaker}_transaction"
        ] = str(transaction_id)
    speak(database, cast, "agent" if organization == cast.acme else "stranger")
    hold = "select (billing.hold_credits(%s, 'do', amount => 5, organization_id => %s)).hold_id"
    cast.ids[f"{prefix}hold"] = str(_one(database, hold, cast.ids["agent_type"], organization))
    if organization == cast.acme:
        # They leave rows of their own behind, which are theirs no more.
        speak(database, cast, "former_member")
        _one(database, hold, cast.ids["agent_type"], organization)
    speak(database, cast, "")
    if organization == cast.acme:
        database.execute("select billing.remove_member(%s, %s)", (organization, cast.users["former_member"]))


def token_claims(cast: Cast) -> dict[str, Any]:
    """What a token in place of the agent's key says, beside its role and its end."""
    return {"agent_key_id": cast.ids["key_id"], "scopes": list(AGENT_TOKEN_SCOPES)}


def speak(database: Database, cast: Cast, name: str) -> None:
    """Go on as a person or the agent, as PostgREST would put it; '' is the schema's owner again."""
    role = {
        "": "none",
        "agent": "anon",
        "agent_token": "billing_agent",
        "anon": "anon",
        "service": "service_role",
    }.get(name, "authenticated")
    claims: object = Jsonb({"sub": str(cast.users[name]), "role": role}) if name in cast.users else ""
    if name == "agent_token":
        claims = Jsonb({"role": role, "exp": 2**31, **token_claims(cast)})
    headers = Jsonb({"x-agent-key": cast.agent_key}) if name == "agent" else ""
    database.execute("select set_config('request.jwt.claims', %s::text, true)", (claims,))
    database.execute("select set_config('request.headers', %s::text, true)", (headers,))
    database.execute("select set_config('role', %s, true)", (role,))


_FURNITURE = (_HERE / "sql/furniture.sql").read_text()


def _furnish(database: Database, cast: Cast, organization: UUID) -> None:
    """Rows in every table that the calls above do not reach, and rollups."""
    prefix = "" if organization == cast.acme else "foreign_"
    is_acme = organization == cast.acme
    cast.ids[f"{prefix}checkout"] = str(uuid4())
    cast.ids[f"{prefix}nonce"] = secrets.token_hex(8)
    parameters = {
        "o": organization,
        "n": cast.ids[f"{prefix}nonce"],
        "checkout": cast.ids[f"{prefix}checkout"],
        "owner": cast.users["owner" if is_acme else "stranger"],
        "askers": [
            cast.users[name] for name in (("member", "admin", "former_member") if is_acme else ("stranger",))
        ],
    }
    for statement in _FURNITURE.split(";\n"):
        if statement.strip():
            database.execute(statement, parameters)
    database.execute("select billing.invite_member(%s, 'invited@security.test', 'member')", (organization,))
    database.execute("select billing_private.fold_usage(%s)", (organization,))
