"""Tests whose transactions are real empty all tables afterwards; the tool audit refuses, as it should.

So its triggers are dropped with the flush; post_migrate, which Django sends after it, puts them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from sandbox_app.audit_triggers import drop_statements


@pytest.fixture(autouse=True, scope="session")
def audit_may_be_flushed() -> Iterator[None]:
    operations = type(connection.ops)
    flush = operations.sql_flush

    def sql_flush(self: Any, *arguments: Any, **options: Any) -> list[str]:
        statements = flush(self, *arguments, **options)
        return drop_statements(connection.vendor) + statements if statements else statements

    operations.sql_flush = sql_flush  # type: ignore[method-assign]
    yield
    operations.sql_flush = flush  # type: ignore[method-assign]
