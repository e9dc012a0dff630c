"""Opaque tokens, `locator.secret`: the locator finds the row, the secret is kept only as a salted hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from ferrocyte._errors import InvalidOptionError
from ferrocyte.cas.server._database import Database, User, user_of
from ferrocyte.cas.server._limits import Refusal

__all__ = ["DEFAULT_DAYS", "TokenInfo", "Tokens"]

DEFAULT_DAYS = 180
# scrypt (RFC 7914): 16 MiB and some 50 ms for each guess.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
_KNOWN = 1024
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class TokenInfo:
    """A token without its secret; times in seconds since 1970."""

    locator: str
    user: str
    created: float
    expires: float
    revoked: float | None


class Tokens:
    """Tokens of a database.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Tokens that were hashed before, under a key of this process: hashing is slow on purpose.
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def create(self, user: User, days: float = DEFAULT_DAYS) -> str:
        """A new token for a user, valid for so many days; it can not be shown again."""
        if not 0 < days <= 36_500:
            raise InvalidOptionError(f"Expected a token to live for more than 0 days, found {days!r}.")
        locator, secret = str(uuid.uuid4()), str(uuid.uuid4())
        salt, now = secrets.token_bytes(16), time.time()
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO tokens (locator, user_id, salt, hash, created, expires) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (locator, user.id, salt, _hash(secret, salt), now, now + days * 86_400),
            )
        return f"{locator}.{secret}"

    def revoke(self, locator: str) -> None:
        """No longer accept a token; its secret, if given along, is not looked at.

        Raises
        ------
        InvalidOptionError
            If there is no such token.
        """
        locator = locator.partition(".")[0]
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE locator = ?", (time.time(), locator)
            )
            if done.rowcount == 0:
                raise InvalidOptionError(
                    f"There is no token {locator!r}. `ferrocyte cas token list` shows those there are."
                )

    def list(self) -> list[TokenInfo]:
        """All tokens, oldest first."""
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT locator, name, tokens.created, expires, revoked FROM tokens "
                "JOIN users ON users.id = user_id ORDER BY tokens.created"
            ).fetchall()
        return [TokenInfo(*row) for row in rows]

    def verify(self, header: str | None) -> User:
        """Whose `Authorization` header this is.

        Raises
        ------
        Refusal
            401.
        """
        scheme, _, token = (header or "").partition(" ")
        parts = token.strip().split(".")
        if scheme.lower() != "bearer" or len(parts) != 2 or not all(parts) or len(token) > 512:
            raise _refused("A token is needed: `Authorization: Bearer LOCATOR.SECRET`.")
        locator, secret = parts
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT user_id, salt, hash, expires, revoked FROM tokens WHERE locator = ?", (locator,)
            ).fetchone()
            user = None if row is None else user_of(db, "id", row[0])
        if user is None or not self._matches(token, secret, row[1], row[2]):
            raise _refused("The token is unknown.")
        if row[4] is not None:
            raise _refused("The token was revoked.")
        if row[3] <= time.time():
            raise _refused("The token has expired.")
        return user

    def _matches(self, token: str, secret: str, salt: bytes, expected: bytes) -> bool:
        mark = hashlib.blake2b(
            token.encode("utf-8", "replace") + salt, key=self._key, digest_size=32
        ).digest()
        with self._lock:
            if mark in self._known:
                self.hits += 1
                self._known.move_to_end(mark)
                return True
            self.misses += 1
        right = hmac.compare_digest(_hash(secret, salt), expected)
        if right:
            with self._lock:
                self._known[mark] = None
                while len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
        return right

    def cache_info(self) -> tuple[int, int, int, int]:
        """Hits, misses, most and number of tokens that are known without hashing."""
        return self.hits, self.misses, _KNOWN, len(self._known)


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "replace"), salt=salt, maxmem=2**26, **_SCRYPT)


def _refused(detail: str) -> Refusal:
    return Refusal(401, detail, _CHALLENGE)
