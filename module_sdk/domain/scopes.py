"""Organizations as stores hold them: canonical text, the empty text for *no organization* (clauses SCOPE-02, 03)."""

from __future__ import annotations

from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import Identifier
from module_sdk.domain.text_rules import MAXIMUM_IDENTIFIER_BYTES, fits, identifier_text


def organization_text(organization_id: object) -> str:
    """The stored scope. Raises `InvalidInputError` for a wrong type: nothing widens a scope."""
    return "" if organization_id is None else identifier_text(organization_id, "organization_id")


def optional_scope(organization_id: Identifier | Anything | None) -> str | None:
    """The stored scope, or `None` for every organization."""
    return None if organization_id is ANY else organization_text(organization_id)


def scope_is_possible(scope: str | None) -> bool:
    """Whether a task can have it; a well-typed text that is too long, say, is simply found nowhere."""
    return scope is None or fits(scope, MAXIMUM_IDENTIFIER_BYTES)
