"""What is the name of an image: Docker's grammar of references. Pure.

Source: distribution/reference, reference.go and regexp.go.
"""

from __future__ import annotations

import re

LENGTH_MOST = 300
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?:{_TAG})?(?:{_DIGEST})?")


def image_problem(image: object) -> str | None:
    """What is wrong with the name of an image, as `expected …, found …`; None if nothing."""
    if isinstance(image, str) and len(image) <= LENGTH_MOST and _REFERENCE.fullmatch(image):
        return None
    return f"expected an image such as nvcr.io/nvidia/vllm:25.11-py3, found {str(image)[:60]!r}"
