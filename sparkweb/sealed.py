"""Texts that the database must not hold readable: addresses with tokens in them.

The key is made from the installation's secret key and a purpose. Whoever has
only the database, or a backup of it, reads nothing.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class SealBroken(ValueError):
    """A text that this installation's key does not open: the key was changed, or the text was."""


def seal(text: str, purpose: str) -> str:
    """Return `text` encrypted for one purpose."""
    return _box(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, purpose: str) -> str:
    """Return what seal() was given. Raises SealBroken."""
    try:
        return _box(purpose).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken(
            "SPARKWEB_SECRET_KEY is not the one that this was stored with; enter it again"
        ) from None


def _box(purpose: str) -> Fernet:
    key = hashlib.sha256(f"{purpose}:{settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
