"""Everything that a backend imports from module-sdk, in one place (docs/write-a-backend.md)."""

from __future__ import annotations

from module_sdk import statuses
from module_sdk.capabilities import Capabilities
from module_sdk.changes import Change
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
from module_sdk.explanation import Diagnosis, Explanation
from module_sdk.hookspecs import hookimpl
from module_sdk.manager import TaskManager
from module_sdk.options import ManagerOptions, check_with_driver
from module_sdk.places import Places
from module_sdk.primitives import StoredRows
from module_sdk.query import Condition, Query, Sort
from module_sdk.record import RECORD_FIELDS, ROW_FIELDS, StoredRow, TaskRecord
from module_sdk.task import Task
from module_sdk.text_rules import (
    MAXIMUM_ERROR_BYTES,
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    MAXIMUM_LABEL_BYTES,
    MAXIMUM_MODULE_BYTES,
)
from module_sdk.timestamps import CLOCK_TOLERANCE
from module_sdk.urls import StoreURL
from module_sdk.watchdog import watchdog

__all__ = [
    "CLOCK_TOLERANCE",
    "MAXIMUM_ERROR_BYTES",
    "MAXIMUM_IDENTIFIER_BYTES",
    "MAXIMUM_KEY_BYTES",
    "MAXIMUM_LABEL_BYTES",
    "MAXIMUM_MODULE_BYTES",
    "RECORD_FIELDS",
    "ROW_FIELDS",
    "Capabilities",
    "CapabilityError",
    "Change",
    "Condition",
    "ConfigurationError",
    "Diagnosis",
    "Explanation",
    "InvalidInputError",
    "ManagerOptions",
    "ModuleSDKError",
    "Places",
    "Query",
    "SchemaMissingError",
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
    "check_with_driver",
    "hookimpl",
    "statuses",
    "watchdog",
]
