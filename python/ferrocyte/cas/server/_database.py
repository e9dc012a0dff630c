"""Accounts on disk: one SQLite file for users, hashes of tokens, and what was answered to whom."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ferrocyte._errors import FileFormatError, InvalidOptionError

__all__ = ["Database", "User"]

# Written into the file, beside a number that says whose it is.
VERSION, APPLICATION = 1, 0x66636173
_TABLES = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    weekly_quota INTEGER NOT NULL CHECK (weekly_quota >= 0),
    lifetime_quota INTEGER CHECK (lifetime_quota >= 0),
    quota_increased INTEGER NOT NULL DEFAULT 0,
    asks_for_feedback INTEGER NOT NULL DEFAULT 0,
    admin INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL
);
CREATE TABLE tokens (
    locator TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id),
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    revoked REAL
);
CREATE TABLE answered (
    user_id INTEGER NOT NULL REFERENCES users (id),
    request BLOB NOT NULL,
    cells INTEGER NOT NULL CHECK (cells > 0),
    time REAL NOT NULL,
    PRIMARY KEY (user_id, request)
) WITHOUT ROWID;
CREATE INDEX answered_by_time ON answered (user_id, time, cells);
"""


@dataclass(frozen=True)
class User:
    """Who asks."""

    id: int
    name: str
    email: str
    admin: bool = False
    asks_for_feedback: bool = False


class Database:
    """The file.

    Parameters
    ----------
    path : path or None
        Made if it is not there, readable by its owner only. None keeps everything in memory.

    Raises
    ------
    FileFormatError
        For a file that is no such database, or of another version.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        if path is not None and not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path, timeout=30.0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except sqlite3.DatabaseError as err:
            self._connection.close()
            raise FileFormatError(
                f"Expected {str(path)!r} to be a database of tokens, found something else ({err}). Name a "
                "file that `ferrocyte cas token create` made, or one that does not exist yet."
            ) from None
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # What was counted survives the process in any case, and a power cut as well.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self.transaction() as db:
            found = (
                db.execute("PRAGMA application_id").fetchone()[0],
                db.execute("PRAGMA user_version").fetchone()[0],
            )
            empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty:
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif found != (APPLICATION, VERSION):
                raise FileFormatError(
                    f"Expected {str(self.path)!r} to be a database of tokens, version {VERSION}; found "
                    "another SQLite file or version. Name one that `ferrocyte cas token create` made."
                )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else writes meanwhile, in this process or another."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # Users ------------------------------------------------------------------------------------------

    def add_user(
        self,
        name: str,
        email: str | None = None,
        *,
        weekly_quota: int | None = None,
        lifetime_quota: int | None = None,
        admin: bool = False,
    ) -> User:
        """The user of this name, who is made if new; what is given replaces what is known.

        Raises
        ------
        InvalidOptionError
            If the address belongs to somebody else.
        """
        with self.transaction() as db:
            try:
                db.execute(
                    "INSERT INTO users (name, email, weekly_quota, created) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (name) DO NOTHING",
                    (name, email or name, DEFAULT_WEEKLY_QUOTA, time.time()),
                )
                for column, value in (
                    ("email", email),
                    ("weekly_quota", weekly_quota),
                    ("lifetime_quota", lifetime_quota),
                    ("admin", int(admin) or None),
                ):
                    if value is not None:
                        db.execute(f"UPDATE users SET {column} = ? WHERE name = ?", (value, name))
            except sqlite3.IntegrityError as err:
                raise InvalidOptionError(
                    f"Expected an address of its own and quotas of 0 or more for user {name!r}: {err}."
                ) from None
            return user_of(db, "name", name)

    def user(self, column: str, value: object) -> User | None:
        """The user with this name, email or id, if there is one."""
        with self.transaction() as db:
            try:
                return user_of(db, column, value)
            except KeyError:
                return None

    def opt_out_of_feedback(self, user: User) -> User:
        """Ask no more."""
        with self.transaction() as db:
            db.execute("UPDATE users SET asks_for_feedback = 0 WHERE id = ?", (user.id,))
            return user_of(db, "id", user.id)


DEFAULT_WEEKLY_QUOTA = 100_000


def user_of(db: sqlite3.Connection, column: str, value: object) -> User:
    """A user, inside a transaction; KeyError if there is none."""
    assert column in ("id", "name", "email")
    row = db.execute(
        f"SELECT id, name, email, admin, asks_for_feedback FROM users WHERE {column} = ?", (value,)
    ).fetchone()
    if row is None:
        raise KeyError(value)
    return User(row[0], row[1], row[2], bool(row[3]), bool(row[4]))
