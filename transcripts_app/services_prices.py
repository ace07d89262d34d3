"""Prices are added and taken away, never changed: what was paid before stays what it was."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from sparkweb.accounts.actor import Actor, audit
from sparkweb.refusal import Refused
from transcripts_app.models_prices import ModelPrice
from transcripts_app.prices import PriceTable
from transcripts_app.requests import request_make

REQUEST = "prices_apply"


class PriceRefused(Refused):
    """A price that cannot be added."""


@transaction.atomic
def price_add(*, fields: dict[str, Any], actor: Actor) -> ModelPrice:
    """Add prices of a model from a day on, and have all costs computed anew.

    `fields` are those of ModelPrice. Raises ValidationError for values that make no sense, and
    PriceRefused where the model has prices from that day.
    """
    price = ModelPrice(**fields, created_by=actor.user)
    price.full_clean(validate_unique=False, validate_constraints=False)
    try:
        with transaction.atomic():
            price.save()
    except IntegrityError:
        raise PriceRefused(
            f"{price.pattern} has prices from {price.valid_from}: choose another day, or delete those first.",
            "price_exists",
        ) from None
    audit(actor, "price_add", price, input=str(price.input), output=str(price.output))
    request_make(kind=REQUEST, payload={}, actor=actor)
    return price


@transaction.atomic
def price_delete(*, price: ModelPrice, actor: Actor) -> None:
    """Take prices away; costs of their days follow those before, or are unknown."""
    audit(actor, "price_delete", price, input=str(price.input), output=str(price.output))
    price.delete()
    request_make(kind=REQUEST, payload={}, actor=actor)


def prices_table() -> PriceTable:
    """Return all prices, to compute with."""
    return PriceTable(row.as_price() for row in ModelPrice.objects.all())
