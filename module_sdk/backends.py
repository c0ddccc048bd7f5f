"""The names that a backend may import from module-sdk (docs/write-a-backend.md)."""

from __future__ import annotations

from module_sdk.domain import statuses
from module_sdk.domain.changes import Change
from module_sdk.domain.query import Condition, Query, Sort
from module_sdk.domain.record import RECORD_FIELDS, ROW_FIELDS, StoredRow, TaskRecord
from module_sdk.domain.task import Task
from module_sdk.domain.text_rules import (
    MAXIMUM_ERROR_BYTES,
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    MAXIMUM_LABEL_BYTES,
    MAXIMUM_MODULE_BYTES,
)
from module_sdk.domain.timestamps import CLOCK_TOLERANCE
from module_sdk.errors import (
    CapabilityError,
    ConfigurationError,
    InvalidInputError,
    ModuleSDKError,
    SchemaMissingError,
    TaskBackendError,
    TaskBackendUnavailableError,
    TaskConflictError,
)
from module_sdk.plugins.hookspecs import hookimpl
from module_sdk.store.capabilities import Capabilities
from module_sdk.store.connection_pool import ConnectionPool
from module_sdk.store.connector import Connector
from module_sdk.store.detached_workers import LateError, Workers
from module_sdk.store.diagnostics import Diagnosis, Explanation, clock_difference
from module_sdk.store.latch import Latch
from module_sdk.store.manager import TaskManager
from module_sdk.store.options import ManagerOptions, check_with_driver
from module_sdk.store.primitives import StoredRows
from module_sdk.store.slots import Slot, SlotPool
from module_sdk.store.urls import StoreURL
from module_sdk.store.watchdog import NEVER, watchdog

__all__ = [
    "CLOCK_TOLERANCE",
    "MAXIMUM_ERROR_BYTES",
    "MAXIMUM_IDENTIFIER_BYTES",
    "MAXIMUM_KEY_BYTES",
    "MAXIMUM_LABEL_BYTES",
    "MAXIMUM_MODULE_BYTES",
    "NEVER",
    "RECORD_FIELDS",
    "ROW_FIELDS",
    "Capabilities",
    "CapabilityError",
    "Change",
    "Condition",
    "ConfigurationError",
    "ConnectionPool",
    "Connector",
    "Diagnosis",
    "Explanation",
    "InvalidInputError",
    "Latch",
    "LateError",
    "ManagerOptions",
    "ModuleSDKError",
    "Query",
    "SchemaMissingError",
    "Slot",
    "SlotPool",
    "Sort",
    "StoreURL",
    "StoredRow",
    "StoredRows",
    "Task",
    "TaskBackendError",
    "TaskBackendUnavailableError",
    "TaskConflictError",
    "TaskManager",
    "TaskRecord",
    "Workers",
    "check_with_driver",
    "clock_difference",
    "hookimpl",
    "statuses",
    "watchdog",
]
