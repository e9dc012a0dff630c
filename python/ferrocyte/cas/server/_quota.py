"""How many cells each user may have annotated, in a week and for life.

Cells count when their answer is there, in one transaction with the look at what is left: never more are
answered than allowed, however many requests come at a time. A request that was answered before (same user,
same action, same file, same options) is not counted again, because a client whose connection broke sends it
again.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ferrocyte.cas._service import UNLIMITED
from ferrocyte.cas.server._database import Database, User
from ferrocyte.cas.server._limits import Refusal

__all__ = ["INCREASED_QUOTA", "UNLIMITED", "Quotas"]

INCREASED_QUOTA = 200_000


@dataclass(frozen=True)
class _State:
    """A user's account at some time."""

    weekly: int
    lifetime: int | None
    increased: bool
    week: int
    life: int
    begin: datetime

    @property
    def left(self) -> int:
        of_week = self.weekly - self.week
        return max(0, of_week if self.lifetime is None else min(of_week, self.lifetime - self.life))


def week_of(created: float, now: float) -> datetime:
    """Midnight (UTC) at which the week of an account began."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (today.weekday() - datetime.fromtimestamp(created, UTC).weekday()) % 7
    return today - timedelta(days=since)


class Quotas:
    """Allowances of the users of a database.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def document(self, user: User) -> dict[str, Any]:
        """What GET quota answers."""
        with self._database.transaction() as db:
            state = _state(db, user)
        lifetime = state.lifetime
        return {
            "user_id": user.id,
            "weekly_quota": state.weekly,
            "remaining_weekly_quota": state.left,
            "quota_reset_date": (state.begin + timedelta(days=7)).replace(tzinfo=None).isoformat(),
            "lifetime_quota": lifetime,
            "remaining_lifetime_quota": None if lifetime is None else max(0, lifetime - state.life),
            "quota_increased": state.increased,
        }

    def check(self, user: User, cells: int, request: bytes) -> None:
        """Refuse early what could not be counted later.

        Raises
        ------
        Refusal
            429.
        """
        with self._database.transaction() as db:
            if not _answered(db, user, request):
                _refuse_beyond(_state(db, user), cells)

    def count(self, user: User, cells: int, request: bytes) -> bool:
        """Count cells that were answered; whether they are counted for the first time.

        Raises
        ------
        Refusal
            429 if others have used up the quota meanwhile; the answer must not be given then.
        """
        with self._database.transaction() as db:
            if _answered(db, user, request):
                return False
            _refuse_beyond(_state(db, user), cells)
            db.execute(
                "INSERT INTO answered (user_id, request, cells, time) VALUES (?, ?, ?, ?)",
                (user.id, request, cells, time.time()),
            )
            return True

    def counted(self, user: User) -> int:
        """Cells that were ever answered."""
        with self._database.transaction() as db:
            return _sum(db, user, 0.0)

    def increase(self, user: User) -> None:
        """Raise the allowance for life, once."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE users SET quota_increased = 1, lifetime_quota = max(lifetime_quota, ?) WHERE id = ?",
                (INCREASED_QUOTA, user.id),
            )


def _state(db: sqlite3.Connection, user: User) -> _State:
    weekly, lifetime, increased, created = db.execute(
        "SELECT weekly_quota, lifetime_quota, quota_increased, created FROM users WHERE id = ?", (user.id,)
    ).fetchone()
    begin = week_of(created, time.time())
    return _State(
        weekly, lifetime, bool(increased), _sum(db, user, begin.timestamp()), _sum(db, user, 0.0), begin
    )


def _sum(db: sqlite3.Connection, user: User, since: float) -> int:
    row = db.execute(
        "SELECT coalesce(sum(cells), 0) FROM answered WHERE user_id = ? AND time >= ?", (user.id, since)
    ).fetchone()
    return int(row[0])


def _answered(db: sqlite3.Connection, user: User, request: bytes) -> bool:
    row = db.execute(
        "SELECT 1 FROM answered WHERE user_id = ? AND request = ?", (user.id, request)
    ).fetchone()
    return row is not None


def _refuse_beyond(state: _State, cells: int) -> None:
    if cells > state.left:
        raise Refusal(
            429,
            f"User quota exceeded: {state.left} cells are left, {cells} were sent. GET quota tells when it "
            "is renewed.",
        )
