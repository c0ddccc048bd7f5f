"""Who is asking: user, organization and module bound to the running code (DESIGN.md, "Session"; clause SCOPE-10)."""

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
    """Bound by `session(…)`; carried by asyncio tasks and by threads that module-sdk starts."""

    user_id: int | str | None
    organization_id: int | str | None
    module: str
    all_organizations: bool = False

    @property
    def scope(self) -> int | str | Anything | None:
        """What calls by task id are confined to."""
        return ANY if self.all_organizations else self.organization_id


class Binding:
    """One entry of one `with` block. A context refers to it, and copies of that context refer to it too."""

    __slots__ = ("is_over", "opened", "outer")

    def __init__(self, opened: Session) -> None:
        self.opened = opened
        self.is_over = False
        # Set when it is over, and not before: sessions that open within each other without end would never be freed.
        self.outer: Binding | None = None


bound: contextvars.ContextVar[Binding | None] = contextvars.ContextVar("module_sdk_session", default=None)


def new_session(user: object, module: str, *, all_organizations: bool = False) -> Session:
    """Read `id` and `organization_id` of a mapping or object. Raises `InvalidInputError`, a `ValueError`."""
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

    Asyncio tasks, and threads that module-sdk starts, carry the session; a thread that you start does not.

    Example:
        with module_sdk.session(user={"id": 7, "organization_id": 3}, module="contacts"):
            tasks.cancel(task_id)

    Args:
        user: A mapping or an object with `id` and, optionally, `organization_id`.
        module: Recorded with the tasks that are submitted inside; 1 to 255 bytes of UTF-8.
        all_organizations: For operators: calls by task id, and the read model, reach every organization.

    Returns:
        The session, as the value of `with … as`.

    Raises:
        InvalidInputError: The user has no id, or one that no task can have.
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
            # Frameworks may enter and leave a block on two threads, each with a context of its own, and this thread
            # cannot reach the context of the entry. What still refers to this binding must no longer see the session.
            binding.outer, binding.is_over = outer, True
            if bound.get() is binding:
                bound.set(outer)


def current_session() -> Session | None:
    """The session of the running code, if any."""
    binding = bound.get()
    while binding is not None and binding.is_over:
        binding = binding.outer
    return None if binding is None else binding.opened


def keep_session() -> None:
    """Keep the current session in this context, even when its block ends in another context.

    Background work needs this: its block has usually ended before the work has.
    """
    opened = current_session()
    bound.set(None if opened is None else Binding(opened))


def session_scope() -> Identifier | Anything | None:
    """What a call by task id is confined to. Raises `SessionRequiredError` when nothing is bound: it fails closed."""
    opened = current_session()
    if opened is None:
        raise SessionRequiredError("bind a session first: with module_sdk.session(user=…)")
    return opened.scope
