"""Scopes as they are stored: canonical text, or the empty text for *no organization* (clauses SCOPE-02, 03)."""

from __future__ import annotations

from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import Identifier
from module_sdk.domain.text_rules import MAXIMUM_IDENTIFIER_BYTES, fits, identifier_text


def organization_text(organization_id: object) -> str:
    """Return the stored scope. Raise `InvalidInputError` for a wrong type: no value may widen a scope."""
    return "" if organization_id is None else identifier_text(organization_id, "organization_id")


def optional_scope(organization_id: Identifier | Anything | None) -> str | None:
    """Return the stored scope, or `None` for every organization."""
    return None if organization_id is ANY else organization_text(organization_id)


def scope_is_possible(scope: str | None) -> bool:
    """Return whether a task can have this scope. A well-typed text that is too long matches no task."""
    return scope is None or fits(scope, MAXIMUM_IDENTIFIER_BYTES)
