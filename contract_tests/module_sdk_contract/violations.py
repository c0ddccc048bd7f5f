"""Violations: how a clause fails, with its rule, the call, the answer of the reference and that of the store."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from module_sdk.backends import TaskManager
from module_sdk_contract.catalogue import CLAUSES
from module_sdk_contract.data.comparison import difference, shortened

Failure = TypeVar("Failure", bound=BaseException)


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    clause: str
    asked: str
    expected: str
    found: str
    where: str = ""

    def __str__(self) -> str:
        lines = [f"{self.clause}: {CLAUSES[self.clause].rule}", f"  asked:     {self.asked}"]
        # The difference comes first, because the rows may be long.
        lines += [f"  differs:   {self.where}"] if self.where else []
        return "\n".join([*lines, f"  reference: {self.expected}", f"  store:     {self.found}"])


class ContractViolation(AssertionError):  # noqa: N818  # a broken promise, not an error of the suite
    """One or more clauses are broken; `violations` lists them."""

    def __init__(self, violations: list[Violation], note: str = "") -> None:
        shown = "\n".join(str(violation) for violation in violations[:5])
        more = f"\n… and {len(violations) - 5} more" if len(violations) > 5 else ""
        super().__init__(f"\n{shown}{more}" + (f"\n\n{note}" if note else ""))
        self.violations = violations


def compare(clause: str, asked: str, expected: Any, found: Any) -> Violation | None:
    """Return a violation of the clause unless the two values are type-strictly equal."""
    where = difference(expected, found)
    return Violation(clause, asked, shortened(expected, 1_000), shortened(found, 1_000), where) if where else None


def demand(clause: str, asked: str, expected: Any, found: Any) -> None:
    """Raise `ContractViolation` unless the two values are type-strictly equal."""
    violation = compare(clause, asked, expected, found)
    if violation is not None:
        raise ContractViolation([violation])


def demand_answer(clause: str, asked: str, expected: Any, call: Callable[..., object], *args: Any) -> None:
    """Raise `ContractViolation` unless the call returns the expected value; it must not raise."""
    try:
        found = call(*args)
    except Exception as error:
        raise ContractViolation([raised(clause, asked, expected, error)]) from error
    demand(clause, asked, expected, found)


def raised(clause: str, asked: str, expected: object, error: BaseException) -> Violation:
    """Return the violation of a call that raised although a value was expected."""
    return Violation(clause, asked, shortened(expected, 1_000), f"raised {type(error).__name__}: {error}")


def blaming_the_store(error: Exception, clauses: tuple[str, ...]) -> ContractViolation | None:
    """Return the violation for an error that a manager raised; `None` for an error with another origin.

    Failed assertions of a test are never the manager's error.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    in_manager = [frame for frame in frames if isinstance(frame.f_locals.get("self"), TaskManager)]
    if isinstance(error, AssertionError) or not in_manager:
        return None
    asked = in_manager[0].f_code.co_name
    return ContractViolation([raised(clauses[0], asked, "an answer", error)])


def demand_error(
    clause: str, asked: str, kind: type[Failure], call: Callable[..., object], *args: Any, **kwargs: Any
) -> Failure:
    """Return the error of that kind that the call raises. Raise `ContractViolation` for any other outcome."""
    try:
        answer = call(*args, **kwargs)
    except kind as error:
        return error
    except Exception as error:
        found = f"raised {type(error).__module__}.{type(error).__name__}: {error}"
    else:
        found = f"returned {shortened(answer)}"
    raise ContractViolation([Violation(clause, asked, f"raises {kind.__name__}", found)])
