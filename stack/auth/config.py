"""What the auth server needs to know, taken from the stack's settings and `[auth]` of config.toml."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stack.auth.tokens import TokenKeys
from stack.config import parse_duration
from stack.settings import HOST, StackSettings

DATABASE_ROLE = "supabase_auth_admin"
"""The role Supabase Auth connects as; triggers on `auth.users` must work for it, here as there."""

_HOOK_URI = re.compile(r"^pg-functions://[^/]+/(\w+)/(\w+)$")


@dataclass(frozen=True)
class AuthConfig:
    """Every choice the auth server makes.

    Args:
        database_url: connection as `supabase_auth_admin`.
        keys: signing and verifying keys.
        external_url: public base of the auth API, without a trailing slash; also the `iss` claim.
        site_url: where links lead if no allowed redirect was asked for.
        redirect_urls: further allowed redirect addresses; may hold `*` and `**` wildcards.
        jwt_expiry_seconds: life of an access token.
        refresh_token_rotation: end the session if an old refresh token is used.
        refresh_token_reuse_seconds: how long the token before the current one still answers.
        signup_enabled: new users may register themselves.
        anonymous_enabled: anonymous sign-ins are allowed.
        email_enabled: users may register with an address.
        autoconfirm: an address counts as confirmed at registration.
        double_confirm_changes: an email change is confirmed from the old and the new address.
        secure_password_change: a password change needs a session younger than a day or a mailed code.
        mail_interval_seconds: least time between two mails of a kind to one user.
        otp_length: digits of a one-time code.
        otp_expiry_seconds: life of a one-time code and of a link.
        password_minimum_length: characters.
        password_requirements: named character rule, see `stack.auth.passwords`.
        access_token_hook: schema and function of the custom access token hook, or None.
        smtp_host: where mail goes.
        smtp_port: where mail goes.
    """

    database_url: str
    keys: TokenKeys
    external_url: str
    site_url: str
    redirect_urls: tuple[str, ...]
    jwt_expiry_seconds: int
    refresh_token_rotation: bool
    refresh_token_reuse_seconds: int
    signup_enabled: bool
    anonymous_enabled: bool
    email_enabled: bool
    autoconfirm: bool
    double_confirm_changes: bool
    secure_password_change: bool
    mail_interval_seconds: float
    otp_length: int
    otp_expiry_seconds: int
    password_minimum_length: int
    password_requirements: str
    access_token_hook: tuple[str, str] | None
    smtp_host: str
    smtp_port: int

    @classmethod
    def from_settings(cls, settings: StackSettings) -> AuthConfig:
        """Take what concerns the auth server from the stack's settings.

        Raises:
            ValueError: config.toml names a hook or a duration that cannot be understood.
        """
        auth = settings.project.auth
        email = auth.email
        hook = auth.hook.get("custom_access_token")
        return cls(
            database_url=settings.database_url(DATABASE_ROLE),
            keys=TokenKeys(settings.keys.signing_key, settings.keys.role_token_secret),
            external_url=settings.jwt_issuer,
            site_url=settings.site_url,
            redirect_urls=settings.redirect_urls,
            jwt_expiry_seconds=auth.jwt_expiry,
            refresh_token_rotation=auth.enable_refresh_token_rotation,
            refresh_token_reuse_seconds=auth.refresh_token_reuse_interval,
            signup_enabled=auth.enable_signup,
            anonymous_enabled=auth.enable_anonymous_sign_ins,
            email_enabled=email.enable_signup,
            autoconfirm=not email.enable_confirmations,
            double_confirm_changes=email.double_confirm_changes,
            secure_password_change=email.secure_password_change,
            mail_interval_seconds=parse_duration(email.max_frequency).total_seconds(),
            otp_length=email.otp_length,
            otp_expiry_seconds=email.otp_expiry,
            password_minimum_length=auth.minimum_password_length,
            password_requirements=auth.password_requirements,
            access_token_hook=hook_function(hook.uri) if hook and hook.enabled else None,
            smtp_host=HOST,
            smtp_port=settings.ports.smtp,
        )


def hook_function(uri: str) -> tuple[str, str]:
    """Read the address of a Postgres hook.

    Args:
        uri: `pg-functions://postgres/<schema>/<function>`.

    Returns:
        Schema and function.

    Raises:
        ValueError: another kind of address; HTTP hooks are not served here.
    """
    address = _HOOK_URI.match(uri)
    if address is None:
        raise ValueError(f"a hook's uri must read pg-functions://postgres/<schema>/<function>, not {uri!r}")
    return address.group(1), address.group(2)
