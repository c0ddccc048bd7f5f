"""`module_sdk` bound to one session, for frameworks that pass it to each action."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from module_sdk import models, tasks, ui
from module_sdk.domain.sentinels import UNSET, Unset
from module_sdk.domain.shapes import Identifier
from module_sdk.errors import InvalidInputError
from module_sdk.facade.awaited import WatchedFunction, watched
from module_sdk.facade.sessions import Session, entered, new_session, read

__all__ = ["BoundBackgroundTasks", "BoundModels", "BoundSDK", "BoundTasks", "BoundUI", "bind"]

Function = TypeVar("Function", bound=Callable[..., Any])


class BoundCall(Generic[Function]):
    """A descriptor that makes a public call inside the session of the bound object.

    Read from the class it is the public call itself, so that `help` shows that call.
    """

    def __init__(self, function: Function) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, bound: BoundNamespace | None, owner: type) -> Function:
        if bound is None:
            return self.function
        call = in_session(self.function, bound._session)
        # The instance's own attribute hides this descriptor from now on, so that the wrapper is built only once.
        vars(bound)[self.name] = call
        return call


def in_session(function: Function, opened: Session) -> Function:
    """Return a function that calls `function` inside the session."""
    if not inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with entered(opened):
                return function(*args, **kwargs)

        return cast("Function", call)

    @functools.wraps(function)
    async def acall(*args: Any, **kwargs: Any) -> Any:
        with entered(opened):
            return await function(*args, **kwargs)

    return cast("Function", watched(acall) if type(function) is WatchedFunction else acall)


class BoundNamespace:
    """The base class of the bound objects: it keeps the session in which their calls are made."""

    def __init__(self, opened: Session) -> None:
        self._session = opened


class BoundTasks(BoundNamespace):
    """`module_sdk.tasks` inside one session. A lookup without an organization uses that of the session."""

    CurrentTask = tasks.CurrentTask
    LookupResult = tasks.LookupResult
    Subscription = tasks.Subscription
    TaskId = tasks.TaskId

    def list_user_tasks(
        self, user_id: Identifier, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `tasks.list_user_tasks` does, by default in the session's organization.

        Args:
            user_id: An integer, text or a UUID.
            organization_id: By default the session's. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.

        Returns:
            A `list` of `TaskRow`s, newest first, with `.error` and `.skipped`.
        """
        with entered(self._session):
            return tasks.list_user_tasks(user_id, self._scope(organization_id), limit=limit)

    def get_tasks_by_key(
        self, task_key: str, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `tasks.get_tasks_by_key` does, by default in the session's organization.

        Args:
            task_key: Compared character by character.
            organization_id: By default the session's. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.

        Returns:
            A `list` of `TaskRow`s, newest first, with `.error` and `.skipped`.
        """
        with entered(self._session):
            return tasks.get_tasks_by_key(task_key, self._scope(organization_id), limit=limit)

    def get_tasks_by_key_prefix(
        self, prefix: str, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `tasks.get_tasks_by_key_prefix` does, by default in the session's organization.

        Args:
            prefix: Compared character by character. `""` matches every task with a key.
            organization_id: By default the session's. `None` means the tasks that belong to no organization.
            limit: The maximum number of rows; the newest are returned. `None` means all of them.

        Returns:
            A `list` of `TaskRow`s, newest first, with `.error` and `.skipped`.
        """
        with entered(self._session):
            return tasks.get_tasks_by_key_prefix(prefix, self._scope(organization_id), limit=limit)

    async def alist_user_tasks(
        self, user_id: Identifier, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `list_user_tasks` does, without blocking the event loop. Args and returns are the same."""
        with entered(self._session):
            return await tasks.alist_user_tasks(user_id, self._scope(organization_id), limit=limit)

    async def aget_tasks_by_key(
        self, task_key: str, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `get_tasks_by_key` does, without blocking the event loop. Args and returns are the same."""
        with entered(self._session):
            return await tasks.aget_tasks_by_key(task_key, self._scope(organization_id), limit=limit)

    async def aget_tasks_by_key_prefix(
        self, prefix: str, organization_id: Identifier | Unset | None = UNSET, *, limit: int | None = None
    ) -> tasks.LookupResult:
        """Do what `get_tasks_by_key_prefix` does, without blocking the event loop. Args and returns are the same."""
        with entered(self._session):
            return await tasks.aget_tasks_by_key_prefix(prefix, self._scope(organization_id), limit=limit)

    lookup_failures = BoundCall(tasks.lookup_failures)

    run_background = BoundCall(tasks.run_background)
    run_background_sync = BoundCall(tasks.run_background_sync)
    arun_background = BoundCall(tasks.arun_background)
    register = BoundCall(tasks.register)
    current = BoundCall(tasks.current)
    subscribe = BoundCall(tasks.subscribe)

    update_progress = BoundCall(tasks.update_progress)
    update_progress_sync = BoundCall(tasks.update_progress_sync)
    aupdate_progress = BoundCall(tasks.aupdate_progress)
    emit_progress = BoundCall(tasks.emit_progress)
    emit_progress_sync = BoundCall(tasks.emit_progress_sync)
    aemit_progress = BoundCall(tasks.aemit_progress)

    request_confirmation = BoundCall(tasks.request_confirmation)
    request_confirmation_sync = BoundCall(tasks.request_confirmation_sync)
    arequest_confirmation = BoundCall(tasks.arequest_confirmation)
    respond_confirmation = BoundCall(tasks.respond_confirmation)
    arespond_confirmation = BoundCall(tasks.arespond_confirmation)

    cancel = BoundCall(tasks.cancel)
    acancel = BoundCall(tasks.acancel)
    wait = BoundCall(tasks.wait)
    wait_task = BoundCall(tasks.wait_task)
    await_task = BoundCall(tasks.await_task)
    shutdown = BoundCall(tasks.shutdown)
    ashutdown = BoundCall(tasks.ashutdown)

    def _scope(self, organization_id: Identifier | Unset | None) -> Identifier | None:
        return self._session.organization_id if organization_id is UNSET else organization_id


class BoundBackgroundTasks(BoundNamespace):
    """`module_sdk.models.background_tasks` inside one session."""

    count = BoundCall(models.background_tasks.count)
    acount = BoundCall(models.background_tasks.acount)
    view = BoundCall(models.background_tasks.view)
    aview = BoundCall(models.background_tasks.aview)
    list = BoundCall(models.background_tasks.list)
    alist = BoundCall(models.background_tasks.alist)
    create = BoundCall(models.background_tasks.create)
    update = BoundCall(models.background_tasks.update)
    delete = BoundCall(models.background_tasks.delete)


class BoundModels:
    """`module_sdk.models` inside one session."""

    def __init__(self, opened: Session) -> None:
        self.background_tasks = BoundBackgroundTasks(opened)


class BoundUI:
    """`module_sdk.ui`, unchanged: components do not depend on a session."""

    BackgroundTask = ui.BackgroundTask
    Builder = ui.Builder
    Button = ui.Button
    Component = ui.Component
    Text = ui.Text


class BoundSDK:
    """The object that `bind` returns: `.tasks`, `.models` and `.ui` inside one session."""

    def __init__(self, opened: Session) -> None:
        self.session = opened
        self.tasks = BoundTasks(opened)
        self.models = BoundModels(opened)
        self.ui = BoundUI()


def bind(session: object, module_name: str) -> BoundSDK:
    """Return `module_sdk` bound to a session, for one action of a framework.

    All its calls are made inside that session. Lookups use the session's organization unless the call names another.

    Example:
        sdk = module_sdk.bind({"user": {"id": 7, "organization_id": 3}}, "contacts")
        rows = sdk.tasks.get_tasks_by_key("contacts.import")

    Args:
        session: A mapping or an object with `user`, which has `id` and, optionally, `organization_id`.
        module_name: Recorded with the tasks that are submitted; 1 to 255 bytes of UTF-8.

    Returns:
        An object with `.tasks`, `.models`, `.ui` and `.session`.

    Raises:
        InvalidInputError: There is no user, the user has no id, or no task can have such an id or module name.
    """
    user = read(session, "user")
    if user is None:
        raise InvalidInputError("session must have a user", field="session")
    return BoundSDK(new_session(user, module_name))
