"""Values other than plain JSON in results, checkpoints, arguments and confirmations: converted or refused (ROW-10)."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pydantic
import pytest

from module_sdk import tasks, ui
from module_sdk.domain.payloads import encode_payload
from module_sdk.domain.task import Task
from module_sdk.errors import InvalidInputError, PayloadError
from module_sdk.store.manager import TaskManager
from module_sdk.testing import World
from tests.support.sample_work import Gate, until_status

UUID = uuid.UUID("0190f5d2-7c8a-7def-8123-456789abcdef")
UTC = datetime.UTC


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Mode(enum.StrEnum):
    FAST = "fast"


class Day(enum.Enum):
    FIRST = datetime.date(2024, 1, 1)


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Card:
    at: datetime.datetime
    tags: frozenset[str]
    inner: Any = None


class Invoice(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    number: int = pydantic.Field(alias="no", default=7)
    due: datetime.date = datetime.date(2024, 2, 29)
    total: decimal.Decimal = decimal.Decimal("1.10")
    secret: pydantic.SecretStr = pydantic.SecretStr("hidden")
    by_day: dict[datetime.date, int] = {}
    extra: Any = None
    ratio: float = 0.5


@pydantic.dataclasses.dataclass
class Line:
    amount: decimal.Decimal = decimal.Decimal("2.50")


NOON = datetime.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC)
VALUES: dict[str, tuple[Any, Any]] = {
    "aware datetime": (NOON, "2024-02-29T12:00:00.000001Z"),
    "naive datetime": (datetime.datetime(2024, 2, 29, 12), "2024-02-29T12:00:00"),  # noqa: DTZ001  # naive on purpose
    "date": ({"at": NOON.date()}, {"at": "2024-02-29"}),
    "time": (datetime.time(1, 2, 3), "01:02:03"),
    "timedelta": (datetime.timedelta(days=1, seconds=3.5), "P1DT3.5S"),
    "UUID": ([UUID], [str(UUID)]),
    "Decimal": (decimal.Decimal("1.10"), "1.10"),
    "enum": (Colour.RED, "red"),
    "enum of another type": (Day.FIRST, "2024-01-01"),
    "IntEnum": ([Level.HIGH], [3]),
    "StrEnum, as a key too": ({Mode.FAST: Mode.FAST}, {"fast": "fast"}),
    "set": ({"a"}, ["a"]),
    "frozenset": (frozenset([UUID]), [str(UUID)]),
    "deque": (collections.deque([1, NOON.date()]), [1, "2024-02-29"]),
    "OrderedDict": (collections.OrderedDict(b=1, a=NOON.date()), {"b": 1, "a": "2024-02-29"}),
    "defaultdict": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "named tuple": (Point(1, 2), [1, 2]),
    "path": (pathlib.Path("/srv/data"), "/srv/data"),
    "dataclass": (
        Card(NOON, frozenset(["x"]), [Card(NOON, frozenset())]),
        {
            "at": "2024-02-29T12:00:00.000001Z",
            "tags": ["x"],
            "inner": [{"at": "2024-02-29T12:00:00.000001Z", "tags": [], "inner": None}],
        },
    ),
    "model": (Invoice(by_day={NOON.date(): 1}, extra=[UUID]), Invoice(by_day={NOON.date(): 1}, extra=[UUID])),
    "models inside": ({"rows": [Invoice()]}, {"rows": [Invoice()]}),
    "pydantic's dataclass": ([Line()], [{"amount": "2.50"}]),
    "integers and floats beside a date": (
        [10**4_299, -(2**64), 0.1 + 0.2, 5e-324, NOON.date(), True, None, {"z": 1, "a": 2}],
        [10**4_299, -(2**64), 0.1 + 0.2, 5e-324, "2024-02-29", True, None, {"z": 1, "a": 2}],
    ),
    "lone surrogate beside a date": (["\ud800\0", NOON.date()], ["\ud800\0", "2024-02-29"]),
}
"""Each value and the JSON that is returned for it. An expected model means its own `model_dump`."""


def dumped(value: Any) -> Any:
    """Return the value with each model replaced by its `model_dump`."""
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: dumped(item) for key, item in value.items()}
    return [dumped(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", VALUES)
def test_a_result_is_returned_as_pydantic_writes_it(store: TaskManager, case: str) -> None:
    value, expected = VALUES[case]
    gate = Gate(value)
    gate.opened.set()

    view = tasks.wait(gate.submit("coroutine"), 10)

    assert (view["status"], view["error"]) == ("completed", None)
    assert json.dumps(view["result"]) == json.dumps(dumped(expected))


def test_every_other_payload_is_converted_as_well(store: TaskManager) -> None:
    # given work that records its arguments, reports a checkpoint and requests a confirmation
    seen: list[Any] = []
    answers: list[Any] = []

    @tasks.register("payloads")
    def work(**arguments: Any) -> None:
        task = tasks.current()
        seen.append(arguments)
        task.update_progress(0.5, checkpoint=Card(NOON, frozenset()))
        answers.append(tasks.request_confirmation_sync(task.id, Invoice()))

    events: list[Any] = []
    with tasks.subscribe(events.append):
        task_id = tasks.run_background_sync("payloads", day=NOON.date(), ids={UUID}, card=Card(NOON, frozenset()))
        until_status(store, task_id, "waiting_confirmation")
        tasks.emit_progress_sync(task_id, 0.6, checkpoint=Level.HIGH)
        asked = store.get(task_id)

    tasks.respond_confirmation(task_id, {"at": NOON.date()})
    tasks.wait(task_id, 10)

    # then the function received the arguments as they are stored: decoded from JSON
    card: dict[str, Any] = {"at": "2024-02-29T12:00:00.000001Z", "tags": [], "inner": None}
    arguments = {"day": "2024-02-29", "ids": [str(UUID)], "card": card}
    assert seen == [arguments]
    assert asked is not None
    assert (asked.arguments, asked.checkpoint) == (arguments, card)
    assert asked.confirmation == Invoice().model_dump(mode="json")
    assert answers == [{"at": "2024-02-29"}]
    assert events[-1]["checkpoint"] == 3


def test_create_returns_the_task_as_it_is_stored(store: TaskManager) -> None:
    task = Task.new(user_id=7, organization_id=3, module="m", arguments={"at": NOON.date(), "pair": (1, 2)})

    created, is_new = store.create(task)

    assert is_new
    assert created == store.get(task.id)
    assert created.arguments == {"at": "2024-02-29", "pair": [1, 2]}
    assert Task.from_dict(task.to_dict()) == created
    assert json.dumps(task.to_dict())


def test_handlers_of_components_are_converted_to_plain_json() -> None:
    button = ui.Button("Go", on_click={"after": NOON.date(), "ids": {UUID}}).to_dict()
    assert button["on_click"] == {"after": "2024-02-29", "ids": [str(UUID)]}


# --- Refused values ---------------------------------------------------------------------------------------------------


class EvilDict(dict[str, Any]):
    def items(self) -> Any:
        raise ValueError("no items")


def cycle() -> list[Any]:
    value: list[Any] = [{}]
    value[0]["again"] = value
    return value


def nested(depth: int) -> Any:
    value: Any = NOON
    for _ in range(depth):
        value = {"in": value}
    return value


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "object": (lambda: {"rows": [1, 2, 3, {"at": object()}]}, "result.rows[3].at must be JSON: object is not"),
    "NaN": (lambda: {"rows": [1, 2, 3, {"at": math.nan}]}, "result.rows[3].at must be JSON: nan is not"),
    "infinity beside a date": (lambda: [NOON, -math.inf], "result[1] must be JSON: -inf is not"),
    "bytes": (lambda: Card(NOON, frozenset(), b"x"), "result.inner must be JSON: bytes is not"),
    "bytearray": (lambda: (bytearray(1),), "result[0] must be JSON: bytearray is not"),
    "memoryview": (lambda: [memoryview(b"x")], "result[0] must be JSON: memoryview is not"),
    "bytes in a set": (lambda: {"tags": {b"x"}}, "result.tags[0] must be JSON: bytes is not"),
    "iterator": (lambda: {"rows": iter([1])}, "result.rows must be JSON: list_iterator is not"),
    "generator": (lambda: {"rows": (x for x in [1])}, "result.rows must be JSON: generator is not"),
    "integer as a key": (lambda: {"a": {1: 2}}, "result.a must have text keys only, not int"),
    "UUID as a key": (lambda: [{UUID: 2}], "result[0] must have text keys only, not UUID"),
    "None as a key of a dataclass": (
        lambda: Card(NOON, frozenset(), {None: 1}),
        "result.inner must have text keys only, not NoneType",
    ),
    "cycle": (lambda: {"a": cycle()}, "result.a[0].again must not contain itself"),
    "huge integer": (lambda: {"n": [10**4_300]}, "result.n[0] must be JSON: ValueError: Exceeds the limit"),
    "too deep": (lambda: nested(101), f"result{'.in' * 8}…{'.in' * 8} must be nested at most 100 deep"),
    "odd keys": (lambda: {"a.b": {"$set": {"": object()}}}, 'result["a.b"]["$set"][""] must be JSON: object is not'),
    "a long key": (lambda: {"k" * 500: object()}, f'result["{"k" * 60}"] must be JSON: object is not'),
    "a class": (lambda: {"type": Card}, "result.type must be JSON: type is not"),
    "its own code": (lambda: {"a": EvilDict(b=NOON)}, "result.a must be JSON: ValueError: no items"),
    "object in a model": (
        lambda: [Invoice(extra={"a": [object()]})],
        "result[0].extra.a[0] must be JSON: object is not",
    ),
    "NaN in a model": (lambda: {"invoice": Invoice(ratio=math.nan)}, "result.invoice.ratio must be JSON: nan is not"),
    "too large": (lambda: [NOON, "x" * 1_048_576], "result must be at most 1,048,576 bytes of JSON"),
    "too many": (lambda: [[NOON] * 1_000] * 1_100, "result must be at most 1,048,576 bytes of JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_is_not_json_is_refused_with_its_path(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(PayloadError) as refused:
        encode_payload(make(), "result")
    assert str(refused.value).startswith(message)
    assert refused.value.field == "result"


def test_the_error_of_every_payload_names_the_path(store: TaskManager) -> None:
    value: dict[str, Any] = {"rows": [1, {"at": object()}]}
    task = Task.new(user_id=7, organization_id=3, module="m")
    store.create(task)
    tasks.register("with.rows")(lambda rows: None)
    gate = Gate()
    task_id = gate.submit("function")

    calls: dict[str, Callable[[], Any]] = {
        "checkpoint": lambda: tasks.update_progress_sync(task_id, 0.5, value),
        "kwargs": lambda: tasks.run_background_sync("with.rows", **value),
        "confirmation": lambda: tasks.request_confirmation_sync(task_id, value),
        "response": lambda: tasks.respond_confirmation(task_id, value),
        "arguments": lambda: store.create(Task.new(user_id=1, module="m", arguments=value)),
        "result": lambda: store.update(task.id, result=value),
    }
    for field, call in calls.items():
        with pytest.raises(InvalidInputError) as refused:
            call()
        assert (refused.value.field, str(refused.value)) == (field, f"{field}.rows[1].at must be JSON: object is not")
    gate.opened.set()
    assert tasks.wait(task_id, 10)["status"] == "completed"


def test_plain_json_does_not_import_pydantic_and_other_values_import_only_its_core() -> None:
    code = (
        "import sys, module_sdk; module_sdk.configure(url='memory://')\n"
        "from module_sdk import tasks\n"
        "tasks.register('f')(lambda a: a)\n"
        "with module_sdk.session(user={'id': 1}): tasks.wait(tasks.run_background_sync('f', a=[1, {'b': 0.5}]), 9)\n"
        "print('pydantic_core' in sys.modules)\n"
        "import uuid\n"
        "with module_sdk.session(user={'id': 1}): tasks.wait(tasks.run_background_sync('f', a=uuid.uuid4()), 9)\n"
        "print('pydantic_core' in sys.modules, 'pydantic' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["False", "True", "False"]


def test_a_payload_that_contains_one_object_twice_is_not_a_cycle(memory: World) -> None:
    part = [NOON.date()]
    assert encode_payload({"a": part, "b": [part, part]}, "result") == (
        '{"a":["2024-02-29"],"b":[["2024-02-29"],["2024-02-29"]]}'
    )
