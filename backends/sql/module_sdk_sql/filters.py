"""The filters of the read model as a WHERE clause with parameters."""

from __future__ import annotations

from typing import Any

from module_sdk.backends import Condition, Query
from module_sdk_sql.dialects.base import Dialect


def where(query: Query, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """Return the clause, which is empty if the query has no condition, and the values of its parameters."""
    conditions = list(query.conditions)
    if query.organization is not None:
        conditions.insert(0, Condition("organization_id", "any_of", (query.organization,)))
    terms: list[str] = []
    values: dict[str, Any] = {}
    for number, condition in enumerate(conditions):
        term, parameters = condition_term(condition, f"value_{number}", dialect)
        terms.append(term)
        values |= parameters
    return (f" WHERE {' AND '.join(terms)}" if terms else ""), values


def condition_term(condition: Condition, name: str, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    column, value = f"t.{condition.field}", condition.value
    match condition.operator:
        case "any_of":
            return any_of_term(column, name, value, dialect)
        case "contains":
            return f"{dialect.contains}({column}, :{name}) > 0", {name: value}
        case "at_least":
            return f"{column} >= :{name}", {name: value}
        case "below":
            return f"{column} < :{name}", {name: value}


def any_of_term(column: str, name: str, wanted: tuple[Any, ...], dialect: Dialect) -> tuple[str, dict[str, Any]]:
    values = [value for value in wanted if value is not None]
    if not values:
        return f"{column} IS NULL", {}
    # A single value is compared by `=`, for which every planner uses an index.
    term, parameters = (
        (f"{column} = :{name}", {name: values[0]}) if len(values) == 1 else dialect.any_of(column, name, values)
    )
    return (f"({column} IS NULL OR {term})" if None in wanted else term), parameters
