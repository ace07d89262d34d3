"""JSON bodies, read so that whatever is sent is a 400 in words: too deep, no number of JSON, no JSON."""

from __future__ import annotations

import json
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


class StrictJSONParser(JSONParser):
    """As DRF's parser, and nesting beyond Python's own limit is an error of the sender too."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return json.loads(stream.read().decode(), parse_constant=_no_number)
        except RecursionError:
            raise ParseError("The JSON is nested too deep.") from None
        except ValueError as error:
            raise ParseError(f"This is no JSON: {error}") from None
