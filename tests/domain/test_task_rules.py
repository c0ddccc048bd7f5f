"""Property tests of the rules for texts, ids, times and payloads."""

from __future__ import annotations

import datetime
import json
import math
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from module_sdk.domain.payloads import decode_payload, encode_payload
from module_sdk.domain.statuses import STATUSES
from module_sdk.domain.task import Task, check_progress
from module_sdk.domain.text_rules import (
    MAXIMUM_ERROR_BYTES,
    check_identifier,
    fits,
    identifier_text,
    identifiers,
    new_task_id,
    prefix_end,
    storable_error,
)
from module_sdk.domain.timestamps import FIRST, LAST, format_time, parse_time
from module_sdk.errors import InvalidInputError, PayloadError

# Every run has the same examples, and an example has no time limit.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=200)
settings.load_profile("repeatable")

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SHORT_TEXTS = TEXTS.filter(lambda text: fits(text, 255))
IDENTIFIERS = st.integers(-(2**80), 2**80) | SHORT_TEXTS.filter(bool)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TIMES = st.integers(FIRST, LAST)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """Draw a task with any values that a task can have."""
    created_at, updated_at = sorted(draw(st.tuples(TIMES, TIMES)))
    moments = st.none() | st.integers(created_at, LAST)
    return Task(
        id=str(draw(st.uuids())),
        module=draw(SHORT_TEXTS.filter(bool)),
        label=draw(SHORT_TEXTS),
        status=draw(st.sampled_from(sorted(STATUSES))),
        progress=draw(st.floats(0, 1)),
        task_key=draw(st.none() | SHORT_TEXTS),
        user_id=draw(IDENTIFIERS),
        organization_id=draw(st.none() | IDENTIFIERS),
        created_at=created_at,
        updated_at=updated_at,
        started_at=draw(moments),
        finished_at=draw(moments),
        checkpoint=draw(PAYLOADS),
        result=draw(PAYLOADS),
        error=draw(st.none() | TEXTS),
        confirmation=draw(PAYLOADS),
        function=draw(st.none() | SHORT_TEXTS.filter(bool)),
        arguments=draw(PAYLOADS),
    )


@given(tasks())
def test_to_dict_is_plain_json_that_from_dict_turns_into_an_equal_task(task: Task) -> None:
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@given(tasks())
def test_a_view_contains_every_field_but_the_function_and_its_arguments(task: Task) -> None:
    restored = Task.from_dict(task.to_view())
    assert restored.to_view() == task.to_view()
    assert (restored.function, restored.arguments) == (None, None)
    assert task.to_view().keys() - task.to_row().keys() == {
        "checkpoint",
        "result",
        "error",
        "started_at",
        "finished_at",
        "confirmation",
    }
    assert task.to_row().items() <= task.to_view().items()


@given(tasks())
def test_a_record_is_decoded_to_an_equal_task(task: Task) -> None:
    assert Task.from_record(task.to_record(4_194_304)) == task


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "colour"),
    ({"id": "7"}, "id"),
    ({"id": "01890000-0000-7000-8000-00000000000A"}, "id"),
    ({"status": "done"}, "status"),
    ({"progress": "1"}, "progress"),
    ({"created_at": "yesterday"}, "created_at"),
    ({"created_at": "2026-01-01T00:00:00"}, "created_at"),
    ({"updated_at": None}, "updated_at"),
    ({"updated_at": "1999-01-01T00:00:00+00:00"}, "updated_at"),
    ({"finished_at": "1999-01-01T00:00:00+00:00"}, "finished_at"),
    ({"user_id": None}, "user_id"),
    ({"module": ""}, "module"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG_FIELDS, ids=str)
def test_from_dict_names_the_field_that_it_refuses(wrong: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {**Task.new(user_id=7, module="m").to_dict()}
    with pytest.raises(InvalidInputError, match=field) as refused:
        Task.from_dict(good | wrong)
    assert refused.value.field == field
    del good["created_at"]
    with pytest.raises(InvalidInputError, match="created_at is missing"):
        Task.from_dict(good)


# --- Text and ids ----------------------------------------------------------------------------------------------------


@given(IDENTIFIERS)
def test_an_id_and_its_text_have_the_same_canonical_form(identifier: int | str) -> None:
    canonical = check_identifier(identifier, "user_id")
    assert check_identifier(str(canonical), "user_id") == canonical
    assert identifiers[identifier_text(identifier, "user_id")] == canonical
    assert type(canonical) is int if isinstance(identifier, int) else canonical in (identifier, int_of(identifier))


def int_of(text: str) -> int | None:
    """Return the integer of which the text is the canonical form, or `None`."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text else None


@given(TEXTS, TEXTS, TEXTS)
def test_the_range_of_a_prefix_contains_exactly_the_texts_that_start_with_it(
    prefix: str, rest: str, other: str
) -> None:
    end = prefix_end(prefix)
    for key in (prefix, prefix + rest, other, prefix[:-1] + other, prefix + "\U0010ffff" + rest):
        by_bytes = key.encode() >= prefix.encode() and (end is None or key.encode() < end.encode())
        assert by_bytes == key.startswith(prefix)


@given(st.text(max_size=50), st.integers(0, 3_000))
def test_any_error_text_becomes_storable_and_is_unchanged_if_it_was(text: str, times: int) -> None:
    stored = storable_error(text * times)
    assert fits(stored, MAXIMUM_ERROR_BYTES)
    assert fits(text * times, MAXIMUM_ERROR_BYTES) == (stored == text * times)


def test_task_ids_rise_within_a_process() -> None:
    ids = [new_task_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(task_id).version for task_id in ids} == {7}


# --- Times, progress, payloads ---------------------------------------------------------------------------------------


@given(TIMES, TIMES)
def test_texts_of_times_sort_as_the_times_do_and_can_be_parsed_back(one: int, other: int) -> None:
    texts = format_time(one), format_time(other)
    assert [len(text) for text in texts] == [32, 32]
    assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < other, one == other)
    assert [parse_time(text, "time") for text in texts] == [one, other]
    assert datetime.datetime.fromisoformat(texts[0]).isoformat(timespec="microseconds") == texts[0]


@given(st.floats() | st.integers())
def test_progress_is_clamped_to_0_and_1_and_refused_if_not_finite(value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        with pytest.raises(InvalidInputError, match="progress must be a finite number"):
            check_progress(value)
    else:
        assert check_progress(value) == min(max(value, 0), 1)
        assert math.copysign(1, check_progress(value)) == 1


@given(PAYLOADS)
def test_a_payload_is_decoded_as_json_decodes_it(value: Any) -> None:
    text = encode_payload(value, "result")
    assert (text is None) == (value is None)
    assert text is None or text.isascii()
    decoded = decode_payload(text)
    assert decoded == value
    assert json.dumps(decoded) == json.dumps(value)


@given(PAYLOADS, st.integers(1, 50))
def test_a_payload_is_refused_if_and_only_if_it_exceeds_the_maximum(value: Any, maximum: int) -> None:
    size = 0 if value is None else len(json.dumps(value, separators=(",", ":")))
    if size <= maximum:
        encode_payload(value, "result", maximum)
        return
    with pytest.raises(PayloadError, match=f"result must be at most {maximum} bytes of JSON") as refused:
        encode_payload(value, "result", maximum)
    assert (refused.value.field, refused.value.maximum) == ("result", maximum)
