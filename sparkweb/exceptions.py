"""How the API answers errors: one sentence, one code, the right status."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from sparkweb.refusal import Refused
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2


class Unavailable(drf.APIException):
    """503: something that SparkWeb needs is away for the moment; the sentence says what."""

    status_code = 503
    default_code = "unavailable"


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into `{"error": sentence, "code": word, …}`; None leaves a bug to Django's 500."""
    answer = _own(error)
    if answer is None:
        answer = exception_handler(_as_drf(error), context)
        if answer is not None:
            answer.data = _body(error, answer)
    if answer is not None:
        set_rollback()
    return answer


def _own(error: Exception) -> Response | None:
    if isinstance(error, Refused):
        body = {"error": error.message, "code": error.code, **error.data}
        later = error.retry_after_seconds
        return Response(body, status=error.status, headers={"Retry-After": str(later)} if later else None)
    if isinstance(error, (OperationalError, InterfaceError)):
        log.warning("database does not answer", error=str(error))
        return _away("The database does not answer; try again in a moment.", "database_unavailable")
    if isinstance(error, StreamsDown):
        log.warning("Redis does not answer", error=str(error))
        return _away("Redis does not answer; SparkWeb tries again by itself.", "redis_unavailable")
    return None


def _away(sentence: str, code: str) -> Response:
    return Response(
        {"error": sentence, "code": code}, status=503, headers={"Retry-After": str(RETRY_SECONDS)}
    )


def away_in_one_line(record: logging.LogRecord) -> bool:
    """Logging filter: a page that found database or Redis away is a warning of one line."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (OperationalError, InterfaceError, StreamsDown)):
        record.msg, record.args = f"{record.getMessage()}: {error}", ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
    return True


def _as_drf(error: Exception) -> Exception:
    if isinstance(error, ValidationError):
        fields = hasattr(error, "error_dict")
        return drf.ValidationError(error.message_dict if fields else error.messages)
    return error


def _body(error: Exception, answer: Response) -> dict[str, Any]:
    data = answer.data
    if answer.status_code == 400 and isinstance(_as_drf(error), drf.ValidationError):
        fields = data if isinstance(data, dict) else {"non_field_errors": data}
        return {"error": first_sentence(fields), "code": "invalid", "fields": fields}
    if isinstance(error, Http404):
        return {"error": str(error) or "There is no such thing.", "code": "not_found"}
    if isinstance(error, PermissionDenied):
        return {"error": str(error) or "You may not do this.", "code": "permission_denied"}
    detail = getattr(error, "detail", None) or (data or {}).get("detail", "")
    code = getattr(detail, "code", None) or getattr(error, "default_code", "error")
    return {"error": str(detail), "code": str(code)}


def first_sentence(fields: Any, name: str = "") -> str:
    """Return the first message in nested field errors, with its field before it."""
    if isinstance(fields, dict):
        for key, value in fields.items():
            inner = "" if key == "non_field_errors" else f"{name}.{key}" if name else str(key)
            return first_sentence(value, inner)
        return "Something in the request is wrong."
    if isinstance(fields, list):
        return first_sentence(fields[0], name) if fields else "Something in the request is wrong."
    return f"{name}: {fields}" if name else str(fields)
