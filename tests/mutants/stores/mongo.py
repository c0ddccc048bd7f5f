"""A good store in MongoDB, with its seams."""

from __future__ import annotations

from typing import Any

from module_sdk_mongo import queries
from module_sdk_mongo.manager import MongoTaskManager

from module_sdk.backends import StoredRows
from tests.mutants.stores.opening import Opened


class MongoMutant(Opened, MongoTaskManager):
    """A good store in MongoDB."""

    def pattern(self, start: str) -> dict[str, Any] | None:
        """The condition on the key that a family is found by, in the place of a range."""
        return None

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        pattern = self.pattern(start)
        if pattern is None:
            return super().store_find_by_prefix(organization, start, end, limit, deadline)
        condition = {"organization_id": organization, "task_key": pattern}
        found = queries.Find(condition, None).rows(self.connection.tasks)
        return queries.newest_first(found)[:limit]
