"""Prices of models, by date. A changed price is a new row; what was paid before stays what it was."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, ProhibitNullCharactersValidator
from django.db import models

from transcripts_app.prices import Price

EVER = date(2020, 1, 1)
"""Prices that hold since there is the model begin here."""
_SIZES = {"max_digits": 12, "decimal_places": 6, "validators": [MinValueValidator(Decimal(0))]}
_FACTOR = {"max_digits": 6, "decimal_places": 2, "validators": [MinValueValidator(Decimal(0))]}


class ModelPrice(models.Model):
    """Dollars per million tokens, and per thousand web searches, of models from a day on.

    `pattern` is a model's name; its dated snapshots are meant too, and `*` stands for anything.
    """

    pattern = models.CharField(max_length=120, validators=[ProhibitNullCharactersValidator()])
    valid_from = models.DateField(
        default=EVER, validators=[MinValueValidator(EVER), MaxValueValidator(date(2199, 12, 31))]
    )
    input = models.DecimalField(**_SIZES)  # type: ignore[arg-type]
    output = models.DecimalField(**_SIZES)  # type: ignore[arg-type]
    cache_read = models.DecimalField(null=True, blank=True, **_SIZES)  # type: ignore[arg-type]
    cache_write_5m = models.DecimalField("cache write, 5 minutes", null=True, blank=True, **_SIZES)  # type: ignore[arg-type]
    cache_write_1h = models.DecimalField("cache write, 1 hour", null=True, blank=True, **_SIZES)  # type: ignore[arg-type]
    web_search = models.DecimalField("thousand web searches", null=True, blank=True, **_SIZES)  # type: ignore[arg-type]
    long_above = models.PositiveIntegerField("long prompts above", null=True, blank=True)
    long_input_factor = models.DecimalField("long: input times", null=True, blank=True, **_FACTOR)  # type: ignore[arg-type]
    long_output_factor = models.DecimalField("long: output times", null=True, blank=True, **_FACTOR)  # type: ignore[arg-type]
    note = models.CharField(max_length=200, blank=True, validators=[ProhibitNullCharactersValidator()])
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )

    class Meta:
        ordering = ["pattern", "-valid_from"]
        verbose_name = "price of a model"
        verbose_name_plural = "prices of models"
        constraints = [
            models.UniqueConstraint(fields=["pattern", "valid_from"], name="transcripts_price_once")
        ]

    def __str__(self) -> str:
        return f"{self.pattern} from {self.valid_from}"

    @property
    def is_first(self) -> bool:
        """Whether it holds since there is the model."""
        return self.valid_from == EVER

    def as_price(self) -> Price:
        """As the pure module counts with it."""
        return Price(
            self.pattern, int(f"{self.valid_from:%Y%m%d}"), self.input, self.output, self.cache_read,
            self.cache_write_5m, self.cache_write_1h, self.web_search, self.long_above,
            self.long_input_factor, self.long_output_factor,
        )  # fmt: skip
