"""One Stripe customer an organization, however many workers ask at once (migration stripe_customers)."""

from __future__ import annotations

import stripe

from billing import database
from billing.errors import WorkerError
from billing.logs import get_logger
from billing.rows import CustomerClaim
from billing.settings import get_settings
from billing.stripe_client import explain, get_client, is_in_use, is_missing
from billing.stripe_facts import ORGANIZATION_MARK

_log = get_logger("customers")


def ensure(claim: CustomerClaim) -> str:
    """Return the id of the organization's Stripe customer, making it when there is none.

    Args:
        claim: who it is or will be; parallel callers hold the same claim and so make the same customer.

    Raises:
        StripeUnavailableError: Stripe did not make it; the next call looks before it makes one.
        DatabaseUnavailableError: it was made and could not be recorded; the next call finds or repeats it.
    """
    if claim.stripe_customer_id is not None:
        return claim.stripe_customer_id
    client = get_client()
    try:
        customer_id = (_find(client, claim) if claim.must_look_up else None) or _create(client, claim)
    except stripe.StripeError as error:
        if not is_in_use(error):
            database.call(
                "renew_failed_customer_claim",
                {"organization_id": str(claim.organization_id), "claim_id": str(claim.claim_id)},
            )
        raise explain(error) from error
    return _record(client, claim, customer_id)


def forget_missing(error: stripe.StripeError, customer_id: str) -> bool:
    """Forget the customer when `error` says that Stripe does not know it (deleted, or of another account).

    Args:
        error: what a call that named the customer raised.
        customer_id: the customer.

    Returns:
        Whether it was forgotten; then the call may be made again with a new customer.
    """
    if not is_missing(error, "customer"):
        return False
    _log.warning("customer_missing_at_stripe", stripe_customer_id=customer_id)
    database.call("forget_customer", {"stripe_customer_id": customer_id})
    return True


def _create(client: stripe.StripeClient, claim: CustomerClaim) -> str:
    parameters: stripe.params.CustomerCreateParams = {
        "name": claim.name,
        "metadata": {ORGANIZATION_MARK: str(claim.organization_id)},
    }
    if claim.email is not None:
        parameters["email"] = claim.email
    return client.v1.customers.create(parameters, {"idempotency_key": f"customer:{claim.claim_id}"}).id


def _find(client: stripe.StripeClient, claim: CustomerClaim) -> str | None:
    """Look for the customer that an earlier call may have made without our hearing of it."""
    parameters: stripe.params.CustomerListParams = {"limit": 100}
    if claim.email is not None:
        parameters["email"] = claim.email
    for customer in client.v1.customers.list(parameters).data:
        marks = (customer.to_dict().get("metadata")) or {}
        if marks.get(ORGANIZATION_MARK) == str(claim.organization_id):
            return customer.id
    return None


def _record(client: stripe.StripeClient, claim: CustomerClaim, customer_id: str) -> str:
    recorded = database.call(
        "record_customer",
        {
            "organization_id": str(claim.organization_id),
            "stripe_customer_id": customer_id,
            "email": claim.email,
            "name": claim.name,
            "livemode": get_settings().livemode,
        },
    )
    if not isinstance(recorded, str):
        raise WorkerError("The database answered no customer.")
    if recorded != customer_id:
        _remove_surplus(client, customer_id)
    return recorded


def _remove_surplus(client: stripe.StripeClient, customer_id: str) -> None:
    """Another worker was faster; the customer that nobody will use is removed, as well as may be."""
    try:
        client.v1.customers.delete(customer_id)
    except stripe.StripeError as error:
        _log.warning("surplus_customer_left", stripe_customer_id=customer_id, error=type(error).__name__)
