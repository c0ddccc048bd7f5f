"""A correct store in MongoDB, with a method to override."""

from __future__ import annotations

from typing import Any

from module_sdk_mongo import queries
from module_sdk_mongo.manager import MongoTaskManager

from module_sdk.backends import StoredRows
from tests.mutants.stores.opening import Opened


class MongoMutant(Opened, MongoTaskManager):
    """A correct store in MongoDB."""

    def pattern(self, start: str) -> dict[str, Any] | None:
        """Return the condition on the key that replaces the range of a prefix lookup, or `None` to keep the range."""
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
