"""The class that a backend's test file subclasses."""

from __future__ import annotations

from module_sdk.store.overrides import closest
from module_sdk_contract.groups.collisions import SweepClauses
from module_sdk_contract.groups.dedup import DedupClauses
from module_sdk_contract.groups.dedup_races import DedupRaces
from module_sdk_contract.groups.deep import DeepClauses
from module_sdk_contract.groups.discovery import DiscClauses
from module_sdk_contract.groups.emptied import EmptiedClauses
from module_sdk_contract.groups.failure import FailClauses
from module_sdk_contract.groups.failure_modes import FailureModes
from module_sdk_contract.groups.fields import FieldClauses
from module_sdk_contract.groups.input import BadClauses
from module_sdk_contract.groups.key import KeyClauses
from module_sdk_contract.groups.lifecycle import LifeClauses
from module_sdk_contract.groups.lifecycle_races import LifeRaces
from module_sdk_contract.groups.lifecycle_ways import WayClauses
from module_sdk_contract.groups.lost_replies import LostReplies
from module_sdk_contract.groups.maximums import MaximumClauses
from module_sdk_contract.groups.network import NetworkClauses
from module_sdk_contract.groups.numbers import NumberClauses
from module_sdk_contract.groups.order import OrderClauses
from module_sdk_contract.groups.prefix import PrefixClauses
from module_sdk_contract.groups.read_model import ModelClauses
from module_sdk_contract.groups.read_model_changes import ModelChanges
from module_sdk_contract.groups.retention import KeepClauses
from module_sdk_contract.groups.retention_races import KeepRaces
from module_sdk_contract.groups.row import RowClauses
from module_sdk_contract.groups.scope import ScopeClauses
from module_sdk_contract.groups.settings import SettingsClauses
from module_sdk_contract.groups.stale_reads import NoticeClauses
from module_sdk_contract.groups.traffic import TravelClauses
from module_sdk_contract.groups.user import UserClauses
from module_sdk_contract.groups.visibility import SeeClauses
from module_sdk_contract.groups.visibility_races import SeeRaces
from module_sdk_contract.groups.watched_races import WatchedRaces
from module_sdk_contract.report.canaries import Canaries
from module_sdk_contract.report.verdicts import Deviation
from module_sdk_contract.suite import StoreUnderTest


class TaskManagerContract(
    Canaries,
    SweepClauses,
    ScopeClauses,
    TravelClauses,
    UserClauses,
    KeyClauses,
    PrefixClauses,
    OrderClauses,
    RowClauses,
    DedupClauses,
    DedupRaces,
    LifeClauses,
    LifeRaces,
    WayClauses,
    SeeClauses,
    SeeRaces,
    NoticeClauses,
    WatchedRaces,
    EmptiedClauses,
    DiscClauses,
    SettingsClauses,
    FailClauses,
    FailureModes,
    NetworkClauses,
    LostReplies,
    BadClauses,
    MaximumClauses,
    NumberClauses,
    ModelClauses,
    FieldClauses,
    ModelChanges,
    KeepClauses,
    KeepRaces,
    DeepClauses,
    StoreUnderTest,
):
    """Every clause of the contract. Join with `class TestMine(TaskManagerContract): url = "mydb://localhost"`.

    Never override a test. If a store cannot do something, its manager does not declare the capability, or the class
    declares a `Deviation`.
    """

    def __init_subclass__(cls) -> None:
        """Check the subclass.

        Raises `TypeError` for a replaced test or `store` fixture, a misspelt hook, and invalid deviations.
        """
        super().__init_subclass__()
        deviations: object = cls.deviations
        if not isinstance(deviations, list | tuple) or not all(isinstance(each, Deviation) for each in deviations):
            raise TypeError(f"{cls.__name__}.deviations must be a list or tuple of Deviation")
        hooks = {name for name in vars(StoreUnderTest) if not name.startswith("_")} - {"store"}
        for name in set(vars(cls)) - hooks:
            if not name.startswith(("_", "test_")) and (suggestion := closest(name, hooks - set(vars(cls)))):
                raise TypeError(
                    f"{cls.__name__}.{name} is not a hook of the contract suite: did you mean {suggestion}?"
                )
        inherited = {name for base in TaskManagerContract.__mro__ for name in vars(base)}
        replaced = {name for name in vars(cls) if name.startswith("test_") or name == "store"} & inherited
        if replaced:
            raise TypeError(
                f"{cls.__name__} replaces {', '.join(sorted(replaced))} of the contract suite: declare what the store "
                "cannot do as a Deviation instead"
            )
