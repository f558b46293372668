"""The workers' settings, read from the environment and checked for contradictions before any use."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from billing.errors import NotConfiguredError

#: twin: the local stand-in. test and live: Stripe itself, by the kind of the secret key.
StripeMode = Literal["twin", "test", "live"]


def _strip(value: object) -> object:
    """A secret with a trailing newline never matches, and nobody sees why; an empty value is none."""
    if isinstance(value, str):
        return value.strip() or None
    return value


def _address(value: object) -> object:
    stripped = _strip(value)
    if not isinstance(stripped, str):
        return stripped
    parts = urlsplit(stripped)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise ValueError("must be an http(s) address")
    return stripped.rstrip("/")


Text = Annotated[str, BeforeValidator(_strip)]
OptionalText = Annotated[str | None, BeforeValidator(_strip)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_strip)]
Secret = Annotated[SecretStr, BeforeValidator(_strip)]
Address = Annotated[str, BeforeValidator(_address)]
OptionalAddress = Annotated[str | None, BeforeValidator(_address)]


class Settings(BaseSettings):
    """What the environment says.

    Attributes:
        supabase_url: base URL of the project (the gateway in the local stack).
        supabase_publishable_key: key with which callers' own credentials are forwarded.
        supabase_secret_key: the workers' own key; used for the RPCs granted to the service role.
        supabase_jwt_issuer: `iss` of users' tokens, when it is not SUPABASE_URL/auth/v1.
        stripe_secret_key: unset means mock mode: the twin.
        stripe_webhook_secret: signing secrets of the webhook endpoints, separated by commas (rotation).
        stripe_publishable_key: for the browser; only compared with the secret key here.
        stripe_mode: what this installation is meant to be; a secret key of another kind is refused.
        stripe_promotion_codes: whether Stripe's page asks for a promotion code (made in Stripe's dashboard).
        stripe_automatic_tax: whether Stripe Tax adds the tax of the buyer's place.
        stripe_twin_url: where the twin listens.
        stripe_twin_in_process: run the twin inside the worker, on DATABASE_URL (single-process set-ups).
        database_url: only used by the twin in process.
        frontend_url: where people come from and return to; redirects leave its origin never.
        smtp_url: mail server, `smtps://user:password@host:465`, or `smtp://…:587` with STARTTLS.
        mail_from: sender of mails, such as `Example <billing@example.com>`.
        agent_token_signing_key: private ES256 key as a JWK; unset: agent keys are exchanged for no tokens.
        workers_allowed_origins: further origins whose pages may call the workers, separated by commas.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    supabase_url: Address
    supabase_publishable_key: Text
    supabase_secret_key: Secret
    supabase_jwt_issuer: OptionalAddress = None
    stripe_secret_key: OptionalSecret = None
    stripe_webhook_secret: OptionalSecret = None
    stripe_publishable_key: OptionalText = None
    stripe_mode: Annotated[StripeMode | None, BeforeValidator(_strip)] = None
    stripe_promotion_codes: bool = True
    stripe_automatic_tax: bool = False
    stripe_twin_url: OptionalAddress = None
    stripe_twin_in_process: bool = False
    database_url: OptionalSecret = None
    frontend_url: Address
    smtp_url: OptionalSecret = None
    mail_from: OptionalText = None
    agent_token_signing_key: OptionalSecret = None
    workers_allowed_origins: Annotated[str, BeforeValidator(lambda value: _strip(value) or "")] = ""

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        mode = self.mode
        if self.stripe_mode not in (None, mode):
            raise ValueError(f"STRIPE_MODE is {self.stripe_mode}, but STRIPE_SECRET_KEY makes it {mode}")
        if mode == "twin":
            if not self.stripe_twin_in_process and self.stripe_twin_url is None:
                raise ValueError(
                    "neither STRIPE_SECRET_KEY nor STRIPE_TWIN_URL is set: there is no Stripe to talk to"
                )
            if self.stripe_twin_in_process and self.database_url is None:
                raise ValueError("STRIPE_TWIN_IN_PROCESS needs DATABASE_URL, where the twin keeps its state")
        elif self.stripe_twin_in_process:
            raise ValueError("STRIPE_TWIN_IN_PROCESS and STRIPE_SECRET_KEY are both set: choose one Stripe")
        if mode == "live" and self.stripe_twin_url is not None:
            raise ValueError("a live STRIPE_SECRET_KEY beside STRIPE_TWIN_URL: unset one of them")
        if mode != "twin" and self.stripe_publishable_key is not None:
            expected = f"pk_{mode}_"
            if not self.stripe_publishable_key.startswith(expected):
                raise ValueError(
                    f"STRIPE_PUBLISHABLE_KEY must begin with {expected}, as STRIPE_SECRET_KEY is a {mode} key"
                )
        if mode == "live" and urlsplit(self.frontend_url).scheme != "https":
            raise ValueError("FRONTEND_URL must be https with a live STRIPE_SECRET_KEY")
        return self

    @property
    def mode(self) -> StripeMode:
        """Which Stripe the workers talk to.

        Raises:
            ValueError: STRIPE_SECRET_KEY is no secret key.
        """
        if self.stripe_secret_key is None:
            return "twin"
        key = self.stripe_secret_key.get_secret_value()
        if key.startswith(("sk_test_", "rk_test_")):
            return "test"
        if key.startswith(("sk_live_", "rk_live_")):
            return "live"
        raise ValueError("STRIPE_SECRET_KEY must begin with sk_test_, rk_test_, sk_live_ or rk_live_")

    @property
    def livemode(self) -> bool:
        """Whether real money moves; objects and events of the other kind are not ours."""
        return self.mode == "live"

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Every signing secret that is accepted."""
        if self.stripe_webhook_secret is None:
            return ()
        parts = self.stripe_webhook_secret.get_secret_value().split(",")
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def jwt_issuer(self) -> str:
        """The `iss` claim that users' tokens must carry."""
        return self.supabase_jwt_issuer or f"{self.supabase_url}/auth/v1"

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Origins whose pages may call the workers."""
        further = [
            part.strip().rstrip("/") for part in self.workers_allowed_origins.split(",") if part.strip()
        ]
        return frozenset({origin_of(self.frontend_url), *further})


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        NotConfiguredError: a setting is missing or contradicts another; the hint names it, never its value.
    """
    try:
        return Settings()  # type: ignore[call-arg] # pydantic-settings reads them from the environment
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])).upper() or 'settings'}: {e['msg']}"
            for e in error.errors(include_input=False)
        ]
        raise NotConfiguredError("; ".join(problems)) from None
