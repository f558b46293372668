"""Products.

Source: https://docs.stripe.com/api/products
"""

from __future__ import annotations

from stripe_twin.errors import invalid
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, only, simple_changes, update, value_of
from stripe_twin.resources.prices import create_price
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/products"
_FIELDS = (
    "active",
    "description",
    "name",
    "shippable",
    "statement_descriptor",
    "tax_code",
    "unit_label",
    "url",
)
_LISTS = ("images", "marketing_features")


def create_product(unit: UnitOfWork, params: Parameters, *, param: str = "id") -> Record:
    """Store a new product and emit `product.created`; the parameters are those of the API."""
    product_id = params.get("id") or new_id("prod")
    if unit.find("product", product_id) is not None:
        raise invalid("Product already exists.", param=param, code="resource_already_exists")
    product = complete(
        "product",
        {
            "id": product_id,
            "active": params.get("active", True),
            "created": unit.now,
            "images": params.get("images") or [],
            "marketing_features": params.get("marketing_features") or [],
            "metadata": value_of(params, "metadata") or {},
            "name": params["name"],
            "type": params.get("type", "service"),
            "updated": unit.now,
            **{name: value_of(params, name) for name in _FIELDS[1:] if name in params and name != "name"},
        },
    )
    record = unit.insert(product)
    unit.emit("product.created", product)
    return record


@operation("POST", _PATH, "_product_create_params.ProductCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a product, with its default price if one is described."""
    only(params, (*_FIELDS, *_LISTS, "default_price_data", "id", "metadata", "type"), "product creation")
    record = create_product(unit, params)
    if params.get("default_price_data"):
        price = create_price(unit, {**params["default_price_data"], "product": record.id})
        return update(unit, record, {"default_price": price.id}, "product.updated")
    return record.data


@operation("GET", _PATH, "_product_list_params.ProductListParams")
def list_products(unit: UnitOfWork, params: Parameters) -> Json:
    """List products."""
    ids = params.pop("ids", None)
    if ids is None:
        return list_objects(unit, "product", params, _PATH)
    found = [
        record for product_id in ids if (record := unit.find("product", product_id)) and not record.deleted
    ]
    return {"object": "list", "data": [record.data for record in found], "has_more": False, "url": _PATH}


@operation("GET", _PATH + "/<product_id>", "_product_retrieve_params.ProductRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, product_id: str) -> Json:
    """Return a product."""
    return unit.get("product", product_id).data


@operation("POST", _PATH + "/<product_id>", "_product_update_params.ProductUpdateParams")
def update_product(unit: UnitOfWork, params: Parameters, product_id: str) -> Json:
    """Change a product and emit `product.updated`."""
    only(params, (*_FIELDS, *_LISTS, "default_price", "metadata"), "product update")
    record = unit.get("product", product_id, lock=True)
    changes = simple_changes(params, record.data, (*_FIELDS, "default_price"))
    changes.update({name: params[name] or [] for name in _LISTS if name in params})
    if changes.get("default_price"):
        price = unit.get("price", changes["default_price"], param="default_price")
        if price.data["product"] != product_id:
            raise invalid("The default price must belong to the product.", param="default_price")
    if changes:
        changes["updated"] = unit.now
    return update(unit, record, changes, "product.updated")


@operation("DELETE", _PATH + "/<product_id>", "_product_delete_params.ProductDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, product_id: str) -> Json:
    """Delete a product that has no prices, and emit `product.deleted`."""
    record = unit.get("product", product_id, lock=True)
    if unit.all("price", {"product": product_id}):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    record.deleted = True
    unit.save(record)
    unit.emit("product.deleted", record.data)
    return {"id": product_id, "object": "product", "deleted": True}
