"""The server's explanation of how it serves a query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pymongo.collection import Collection

from module_sdk.backends import ROW_FIELDS, Explanation
from module_sdk_mongo.connection import Document
from module_sdk_mongo.queries import Find
from module_sdk_mongo.records import ROW_NAMES

FIELD_NAMES = dict(zip(ROW_NAMES, ROW_FIELDS, strict=True))


def explain(finds: list[Find], tasks: Collection[Document]) -> Explanation:
    """Return the explanation of one lookup, whose queries are given in the order in which they run."""
    plans: list[str] = []
    examined = 0
    for find in finds:
        with find.cursor(tasks) as cursor:
            answer = cursor.explain()
        statistics = answer["executionStats"]
        examined += statistics["totalKeysExamined"] + statistics["totalDocsExamined"]
        plans.append(json.dumps(list(stages(answer["queryPlanner"]["winningPlan"]))))
    return Explanation("\n".join(plans), examined, tuple(FIELD_NAMES[name] for name in finds[-1].fields))


def stages(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the stages of a plan, the last one to run first, each with its index and the bounds in that index."""
    yield {name: plan[name] for name in ("stage", "indexName", "direction", "indexBounds") if name in plan}
    for source in (plan.get("queryPlan"), plan.get("inputStage"), *plan.get("inputStages", ())):
        if source:
            yield from stages(source)
