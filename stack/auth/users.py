"""Users and their identities: finding, creating, changing, and the JSON in which clients see them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from stack.auth.errors import ApiError, bad_request, unprocessable

Connection = psycopg.AsyncConnection[DictRow]
Json = dict[str, Any]

AUDIENCE = "authenticated"
NIL_INSTANCE = UUID(int=0)

_EMAIL = re.compile(r"^[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+$")
_EMAIL_MAX_CHARACTERS = 255


@dataclass(frozen=True)
class User:
    """A row of `auth.users` with its identities; a snapshot, not a live object."""

    row: DictRow
    identities: tuple[DictRow, ...]

    @property
    def id(self) -> UUID:
        """Primary key, the `sub` of the user's tokens."""
        value: UUID = self.row["id"]
        return value

    @property
    def email(self) -> str:
        """Current address, or the empty string."""
        return self.row["email"] or ""

    @property
    def is_confirmed(self) -> bool:
        """Whether the address was confirmed."""
        return self.row["email_confirmed_at"] is not None

    @property
    def is_banned(self) -> bool:
        """Whether an administrator's ban still runs."""
        until: datetime | None = self.row["banned_until"]
        return until is not None and until > datetime.now(UTC)

    def as_json(self) -> Json:
        """The user as the API shows it: never a password hash or a token."""
        shown: Json = {
            "id": str(self.id),
            "aud": self.row["aud"],
            "role": self.row["role"],
            "email": self.email,
            "phone": self.row["phone"] or "",
            "app_metadata": self.row["raw_app_meta_data"] or {},
            "user_metadata": self.row["raw_user_meta_data"] or {},
            "identities": [_identity_json(identity) for identity in self.identities],
            "is_anonymous": bool(self.row["is_anonymous"]),
        }
        for name in _OPTIONAL_TIMES:
            if self.row[name] is not None:
                shown[name] = timestamp(self.row[name])
        if self.row["email_change"]:
            shown["new_email"] = self.row["email_change"]
        return shown


_OPTIONAL_TIMES = (
    "email_confirmed_at",
    "invited_at",
    "phone_confirmed_at",
    "confirmation_sent_at",
    "confirmed_at",
    "recovery_sent_at",
    "email_change_sent_at",
    "last_sign_in_at",
    "created_at",
    "updated_at",
    "banned_until",
    "deleted_at",
)


def utc_now() -> datetime:
    """The current time, with its zone."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Write a time as the API does: RFC 3339 in UTC with a `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _identity_json(identity: DictRow) -> Json:
    shown: Json = {
        "identity_id": str(identity["id"]),
        "id": identity["provider_id"],
        "user_id": str(identity["user_id"]),
        "identity_data": identity["identity_data"],
        "provider": identity["provider"],
        "email": identity["email"],
    }
    for name in ("last_sign_in_at", "created_at", "updated_at"):
        if identity[name] is not None:
            shown[name] = timestamp(identity[name])
    return shown


def normalised_email(email: str) -> str:
    """Check an address and bring it to the form in which it is stored: lower case.

    Raises:
        ApiError: 400 `validation_failed`.
    """
    if not email:
        raise bad_request("validation_failed", "An email address is required")
    if len(email) > _EMAIL_MAX_CHARACTERS:
        raise bad_request("validation_failed", "An email address is too long")
    if not _EMAIL.match(email):
        raise bad_request("validation_failed", "Unable to validate email address: invalid format")
    return email.lower()


def email_taken() -> ApiError:
    """The refusal of an address that another user has (422 `email_exists`)."""
    return unprocessable("email_exists", "A user with this email address has already been registered")


async def _load(connection: Connection, condition: LiteralString, *values: object) -> User | None:
    query: LiteralString = "select users.* from auth.users where " + condition + " limit 1"
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        row = await cursor.fetchone()
        if row is None:
            return None
        await cursor.execute(
            "select * from auth.identities where user_id = %s order by created_at, id", [row["id"]]
        )
        return User(row, tuple(await cursor.fetchall()))


async def find_by_id(connection: Connection, user_id: UUID) -> User | None:
    """Find a user by primary key."""
    return await _load(connection, "id = %s", user_id)


async def find_by_email(connection: Connection, email: str) -> User | None:
    """Find the user of an address, case-insensitively; single sign-on users are others' concern."""
    return await _load(
        connection, "lower(email) = %s and aud = %s and is_sso_user = false", email.lower(), AUDIENCE
    )


async def get(connection: Connection, user_id: UUID) -> User:
    """Read a user that must exist, e.g. one that this transaction has just written."""
    user = await find_by_id(connection, user_id)
    if user is None:
        raise LookupError(f"user {user_id} vanished inside a transaction")
    return user


async def lock(connection: Connection, user_id: UUID) -> User:
    """Lock a user's row until the transaction ends, so that two requests take turns, and read it."""
    await connection.execute("select 1 from auth.users where id = %s for update", [user_id])
    return await get(connection, user_id)


async def create(
    connection: Connection,
    *,
    email: str,
    encrypted_password: str | None,
    user_metadata: Json,
    app_metadata: Json | None = None,
    role: str = AUDIENCE,
    user_id: UUID | None = None,
) -> User:
    """Add a user, with an email identity if there is an address.

    Args:
        connection: in a transaction.
        email: normalised address; empty for an anonymous user.
        encrypted_password: bcrypt hash or None.
        user_metadata: what the user may change.
        app_metadata: what only administrators change; the provider is added.
        role: database role of the user's tokens.
        user_id: primary key; chosen here if None.

    Returns:
        The stored user, not yet confirmed.

    Raises:
        psycopg.errors.UniqueViolation: the address or the id is taken.
    """
    user_id = user_id or uuid4()
    provider: Json = {"provider": "email", "providers": ["email"]} if email else {}
    await connection.execute(
        """insert into auth.users (instance_id, id, aud, role, email, encrypted_password, raw_app_meta_data,
             raw_user_meta_data, is_anonymous, confirmation_token, recovery_token, email_change_token_new,
             email_change_token_current, email_change, reauthentication_token, created_at, updated_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, '', '', '', '', '', '', now(), now())""",
        [NIL_INSTANCE, user_id, AUDIENCE, role, email or None, encrypted_password or "",
         Jsonb(provider | (app_metadata or {})), Jsonb(user_metadata), not email],
    )  # fmt: skip
    if email:
        await _add_email_identity(connection, user_id, email, user_metadata)
    return await get(connection, user_id)


async def _add_email_identity(
    connection: Connection, user_id: UUID, email: str, user_metadata: Json, *, verified: bool = False
) -> None:
    data = user_metadata | {
        "sub": str(user_id),
        "email": email,
        "email_verified": verified,
        "phone_verified": False,
    }
    await connection.execute(
        """insert into auth.identities (id, provider_id, user_id, identity_data, provider, last_sign_in_at,
             created_at, updated_at) values (%s, %s, %s, %s, 'email', now(), now(), now())""",
        [uuid4(), str(user_id), user_id, Jsonb(data)],
    )


async def confirm(connection: Connection, user_id: UUID) -> None:
    """Mark the address as confirmed and spend every confirmation token."""
    await connection.execute(
        """update auth.users set email_confirmed_at = coalesce(email_confirmed_at, now()),
             confirmation_token = '', updated_at = now(),
             raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}'
           where id = %s""",
        [user_id],
    )
    await connection.execute(
        """update auth.identities set identity_data = identity_data || '{"email_verified": true}',
             updated_at = now() where user_id = %s and provider = 'email'""",
        [user_id],
    )


async def set_password(connection: Connection, user_id: UUID, encrypted_password: str) -> None:
    """Store a new password hash and spend the pending recovery and reauthentication tokens."""
    await connection.execute(
        """update auth.users set encrypted_password = %s, recovery_token = '', reauthentication_token = '',
             updated_at = now() where id = %s""",
        [encrypted_password, user_id],
    )
    await connection.execute(
        """delete from auth.one_time_tokens where user_id = %s
             and token_type in ('recovery_token', 'reauthentication_token')""",
        [user_id],
    )


async def set_email(connection: Connection, user_id: UUID, email: str, *, verified: bool) -> None:
    """Change the address of a user and of the email identity, and end a pending change."""
    await connection.execute(
        """update auth.users set email = %s, email_change = '', email_change_token_new = '',
             email_change_token_current = '', email_change_confirm_status = 0, is_anonymous = false,
             email_confirmed_at = case when %s then now() else email_confirmed_at end, updated_at = now(),
             raw_app_meta_data = coalesce(raw_app_meta_data, '{}')
               || '{"provider": "email", "providers": ["email"]}'
           where id = %s""",
        [email, verified, user_id],
    )
    updated = await connection.execute(
        """update auth.identities set identity_data = identity_data || %s, updated_at = now()
           where user_id = %s and provider = 'email'""",
        [Jsonb({"email": email, "email_verified": verified}), user_id],
    )
    if updated.rowcount == 0:
        await _add_email_identity(connection, user_id, email, {}, verified=verified)


async def merge_metadata(
    connection: Connection,
    user_id: UUID,
    *,
    user_metadata: Json | None = None,
    app_metadata: Json | None = None,
) -> None:
    """Merge keys into the metadata; a key given as null is removed, as Supabase Auth does."""
    changes_by_column = {"raw_user_meta_data": user_metadata, "raw_app_meta_data": app_metadata}
    for column, changes in changes_by_column.items():
        if changes is not None:
            statement = sql.SQL(
                "update auth.users set {column} = (coalesce({column}, '{{}}') || %s) - %s::text[],"
                " updated_at = now() where id = %s"
            ).format(column=sql.Identifier(column))
            removed = [key for key, value in changes.items() if value is None]
            await connection.execute(statement, [Jsonb(changes), removed, user_id])


async def set_role(connection: Connection, user_id: UUID, role: str) -> None:
    """Set the database role of the user's future tokens."""
    await connection.execute(
        "update auth.users set role = %s, updated_at = now() where id = %s", [role, user_id]
    )


async def ban(connection: Connection, user_id: UUID, seconds: float) -> None:
    """Ban a user for so many seconds from now; 0 lifts the ban."""
    await connection.execute(
        """update auth.users set updated_at = now(), banned_until =
             case when %s::float8 > 0 then now() + make_interval(secs => %s::float8) end where id = %s""",
        [seconds, seconds, user_id],
    )


async def delete(connection: Connection, user_id: UUID) -> None:
    """Delete a user; identities, sessions, tokens and the project's own cascades go with the row."""
    await connection.execute("delete from auth.refresh_tokens where user_id = %s", [str(user_id)])
    await connection.execute("delete from auth.flow_state where user_id = %s", [user_id])
    await connection.execute("delete from auth.users where id = %s", [user_id])


async def delete_softly(connection: Connection, user: User) -> None:
    """Make a user unusable and unrecognisable but keep the row, for tables that refer to it.

    The address is replaced by its hash, as Supabase Auth does, so that it may register anew.
    """
    obscured = hashlib.sha256(f"{user.id}{user.email}".encode()).hexdigest()
    await connection.execute(
        """update auth.users set email = %s, encrypted_password = '', email_change = '', phone = null,
             raw_user_meta_data = '{}', deleted_at = now(), updated_at = now() where id = %s""",
        [obscured, user.id],
    )
    await connection.execute("delete from auth.identities where user_id = %s", [user.id])
    await connection.execute("delete from auth.one_time_tokens where user_id = %s", [user.id])


async def mark_invited(connection: Connection, user_id: UUID) -> None:
    """Note that an invitation goes out now."""
    await connection.execute("update auth.users set invited_at = now() where id = %s", [user_id])


async def page(connection: Connection, offset: int, limit: int) -> tuple[list[User], int]:
    """List users, newest first.

    Args:
        connection: any.
        offset: users to leave out.
        limit: users at most.

    Returns:
        The users of the page and how many there are in all.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select count(*) as total from auth.users where aud = %s", [AUDIENCE])
        total_row = await cursor.fetchone()
        await cursor.execute(
            "select * from auth.users where aud = %s order by created_at desc, id offset %s limit %s",
            [AUDIENCE, offset, limit],
        )
        rows = await cursor.fetchall()
        await cursor.execute(
            "select * from auth.identities where user_id = any(%s) order by created_at, id",
            [[row["id"] for row in rows]],
        )
        identities = await cursor.fetchall()
    users = [User(row, tuple(i for i in identities if i["user_id"] == row["id"])) for row in rows]
    return users, int(total_row["total"]) if total_row else 0
