"""Who may speak for which incarnation: tokens made of one secret, so that none has to be remembered.

A worker's token is in its environment and inherited by its own children on purpose. The secret is state that the
keeper hands from root to root; neither is ever on a disk, in the journal, in `describe` or in an argv.
"""

from __future__ import annotations

import hmac
import os

SECRET = 32
"""Bytes."""


class Tokens:
    """Makes and checks the tokens of one tree's life."""

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = secret if secret is not None else os.urandom(SECRET)

    def token(self, name: str, incarnation: int) -> str:
        """32 hex digits (128 bit)."""
        return hmac.digest(self.secret, f"{name}\0{incarnation}".encode(), "sha256").hex()[:32]

    def valid(self, name: str, incarnation: int, token: str) -> bool:
        """Whether ``token`` is this incarnation's; takes as long for a wrong one whatever is wrong in it."""
        return hmac.compare_digest(self.token(name, incarnation).encode(), token.encode())
