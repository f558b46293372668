"""What several resources do alike: unset fields, metadata, lists, and an honest no to what the twin lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stripe_twin.errors import StripeError, invalid
from stripe_twin.parameters import Parameters
from stripe_twin.shapes import Json, listing
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_LIST_PARAMETERS = frozenset({"limit", "starting_after", "ending_before", "created"})
_LARGEST_PAGE = 100


def only(params: Parameters, supported: Iterable[str], call: str) -> None:
    """Refuse parameters that Stripe takes and the twin would silently ignore.

    Raises:
        StripeError: 400 with code `twin_not_supported`, naming the parameter.
    """
    for name in params.keys() - set(supported):
        raise not_supported(f"the parameter {name} of {call}", name)


def not_supported(what: str, param: str | None = None) -> StripeError:
    """Return the 400 for something that Stripe does and the twin does not."""
    return invalid(f"The Stripe twin does not support {what}.", param=param, code="twin_not_supported")


def value_of(params: Parameters, name: str) -> Any:
    """Return a parameter, or None when it is missing or empty (Stripe's way to unset)."""
    value = params.get(name)
    return None if value == "" else value


def merged_metadata(current: Json | None, given: Any) -> Json:
    """Return metadata after an update: empty values remove keys, an empty string removes all."""
    if given is None:
        return dict(current or {})
    if given == "":
        return {}
    merged = {**(current or {}), **given}
    return {name: value for name, value in merged.items() if value != ""}


def update(unit: UnitOfWork, record: Record, changes: Json, event_type: str | None) -> Json:
    """Write changes to a locked object, with an event when something did change; return the object."""
    before = snapshot(record.data)
    record.data.update(changes)
    differing = changed(before, record.data)
    if differing:
        unit.save(record)
        if event_type is not None:
            unit.emit(event_type, record.data, differing)
    return record.data


def simple_changes(params: Parameters, current: Json, fields: Iterable[str]) -> Json:
    """Return the changes that an update's parameters make to fields of the same name, metadata merged."""
    changes: Json = {name: value_of(params, name) for name in fields if name in params}
    if "metadata" in params:
        changes["metadata"] = merged_metadata(current.get("metadata"), params["metadata"])
    return changes


def check_limit(params: Parameters) -> None:
    """Refuse a page size outside 1 to 100, and two cursors at once."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= _LARGEST_PAGE:
        raise invalid(f"Invalid integer: limit must be between 1 and {_LARGEST_PAGE}", param="limit")
    if params.get("starting_after") and params.get("ending_before"):
        raise invalid("You may only specify one of these parameters: ending_before, starting_after.")


def list_objects(
    unit: UnitOfWork, object_name: str, params: Parameters, url: str, hidden: Json | None = None, **fixed: Any
) -> Json:
    """Answer a list call: parameters that are neither paging nor `expand` filter by the field of that name.

    Args:
        unit: The unit of work.
        object_name: Kind of the objects.
        params: The call's checked parameters.
        url: The list's own address, under which the library asks for the next page.
        hidden: What the objects' hidden part must contain.
        fixed: Further fields that must have a value.
    """
    check_limit(params)
    matching = {name: value for name, value in params.items() if name not in _LIST_PARAMETERS}
    page = unit.page(object_name, params, {**matching, **fixed}, hidden)
    return listing([record.data for record in page.records], url, has_more=page.has_more)
