"""How far a server's clock is ahead, and when `doctor` warns of it."""

from __future__ import annotations

import pytest

from module_sdk import open_manager
from module_sdk.backends import Diagnosis, clock_difference


@pytest.mark.parametrize(
    ("server", "before", "after", "ahead"),
    [(105.0, 100.0, 101.0, 4.0), (97.0, 100.0, 101.0, -3.0), (100.5, 100.0, 101.0, 0.0), (103.0, 100.0, 109.0, 0.0)],
    ids=["ahead", "behind", "equal", "a slow answer"],
)
def test_a_slow_answer_says_nothing_of_a_clock(server: float, before: float, after: float, ahead: float) -> None:
    assert clock_difference(server, before, after) == ahead


@pytest.mark.parametrize(("seconds", "warned"), [(0.2, False), (-0.9, False), (1.5, True), (-2.0, True)])
def test_a_clock_that_is_a_second_off_is_a_warning(seconds: float, warned: bool) -> None:
    diagnosis = Diagnosis({"server": "x"}, ["other"], seconds).with_clock()

    assert diagnosis.facts == {"server": "x", "clock difference": f"{seconds:+.3f} s"}
    assert [f"{seconds:+.3f} s" in warning for warning in diagnosis.warnings[1:]] == [True] * warned


@pytest.mark.parametrize("fixture", ["postgresql_url", "mariadb_url", "valkey_url", "mongodb_url"])
def test_every_server_reports_its_clock(fixture: str, namespace: str, request: pytest.FixtureRequest) -> None:
    manager = open_manager(request.getfixturevalue(fixture), namespace=namespace)
    diagnosis = manager.diagnose()
    manager.close()

    assert abs(float(diagnosis.facts["clock difference"].removesuffix(" s"))) < 1
    assert not any("clock" in warning for warning in diagnosis.warnings)
