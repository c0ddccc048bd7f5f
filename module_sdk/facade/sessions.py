"""The session: the user, organization and module that are bound to the running code (clause SCOPE-10)."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from module_sdk.domain.sentinels import ANY, Anything
from module_sdk.domain.shapes import Identifier
from module_sdk.domain.text_rules import MAXIMUM_MODULE_BYTES, check_identifier, check_text
from module_sdk.errors import InvalidInputError, SessionRequiredError

DEFAULT_MODULE = "system"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The session that `session(…)` binds. Asyncio tasks and threads that module-sdk starts inherit it."""

    user_id: int | str | None
    organization_id: int | str | None
    module: str
    all_organizations: bool = False

    @property
    def scope(self) -> int | str | Anything | None:
        """Return the scope of calls by task id: an organization, `None`, or `ANY`."""
        return ANY if self.all_organizations else self.organization_id


class Binding:
    """One execution of one `with` block. The context and all its copies refer to it."""

    __slots__ = ("is_over", "opened", "outer")

    def __init__(self, opened: Session) -> None:
        self.opened = opened
        self.is_over = False
        # Set only when the block is over. Otherwise an endless chain of nested sessions would never be freed.
        self.outer: Binding | None = None


bound: contextvars.ContextVar[Binding | None] = contextvars.ContextVar("module_sdk_session", default=None)


def new_session(user: object, module: str, *, all_organizations: bool = False) -> Session:
    """Return a session for the `id` and `organization_id` of a mapping or object. Raises `InvalidInputError`."""
    user_id = read(user, "id")
    if user is not None and user_id is None:
        raise InvalidInputError("user must have an id", field="user")
    organization_id = read(user, "organization_id")
    return Session(
        user_id=None if user_id is None else check_identifier(user_id, "user_id"),
        organization_id=None if organization_id is None else check_identifier(organization_id, "organization_id"),
        module=check_text(module, "module", MAXIMUM_MODULE_BYTES, minimum=1),
        all_organizations=all_organizations,
    )


def read(source: object, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


@contextlib.contextmanager
def session(user: object = None, *, module: str = DEFAULT_MODULE, all_organizations: bool = False) -> Iterator[Session]:
    """Bind a user to the code inside the block.

    Asyncio tasks and threads that module-sdk starts inherit the session. A thread that you start does not.

    Example:
        with module_sdk.session(user={"id": 7, "organization_id": 3}, module="contacts"):
            tasks.cancel(task_id)

    Args:
        user: A mapping or an object with `id` and, optionally, `organization_id`.
        module: The module that is recorded with the tasks that are submitted inside; 1 to 255 bytes of UTF-8.
        all_organizations: For operators: calls by task id and the read model reach every organization.

    Returns:
        The session, as the value of `with … as`.

    Raises:
        InvalidInputError: The user has no id, or the user, the organization or the module is one that no task can have.
        SessionRequiredError: There is neither a user nor `all_organizations`.
    """
    if user is None and not all_organizations:
        raise SessionRequiredError("a session needs a user, or all_organizations=True")
    with entered(new_session(user, module, all_organizations=all_organizations)) as opened:
        yield opened


@contextlib.contextmanager
def entered(opened: Session) -> Iterator[Session]:
    outer = bound.get()
    binding = Binding(opened)
    token = bound.set(binding)
    try:
        yield opened
    finally:
        try:
            bound.reset(token)
        except ValueError:
            # Frameworks may enter and leave a block on two threads, each with its own context. This thread cannot
            # reset the context of the entry, so the binding is marked as over: that context must not see the session.
            binding.outer, binding.is_over = outer, True
            if bound.get() is binding:
                bound.set(outer)


def current_session() -> Session | None:
    """Return the session of the running code, or `None`."""
    binding = bound.get()
    while binding is not None and binding.is_over:
        binding = binding.outer
    return None if binding is None else binding.opened


def keep_session() -> None:
    """Keep the current session in this context, even after its block has ended in another context.

    Background work needs this, because it usually runs longer than the block in which it was submitted.
    """
    opened = current_session()
    bound.set(None if opened is None else Binding(opened))


def session_scope() -> Identifier | Anything | None:
    """Return the scope of a call by task id. Raises `SessionRequiredError` if no session is bound: it fails closed."""
    opened = current_session()
    if opened is None:
        raise SessionRequiredError("bind a session first: with module_sdk.session(user=…)")
    return opened.scope
