"""The report of a suite's run as plain JSON, the source of the files and of the console's table."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
from pathlib import Path
from typing import Any, Final

import pytest

from module_sdk_contract.catalogue import CLAUSES, CONTRACT
from module_sdk_contract.report.canaries import CANARIES
from module_sdk_contract.report.levels import Level, level_of
from module_sdk_contract.report.markdown import markdown
from module_sdk_contract.report.results import Ledger
from module_sdk_contract.report.selection import tier_and_seed
from module_sdk_contract.report.verdicts import Verdict

Report = dict[str, Any]
COLORS: Final = {
    Level.PARTIAL: "lightgrey",
    Level.CORE: "green",
    Level.FULL: "brightgreen",
    Level.DURABLE: "blue",
}


def report_of(ledger: Ledger, config: pytest.Config) -> Report:
    """Return the report of one suite's run."""
    tier, seed = tier_and_seed(config)
    switched_off = bool(config.getoption("contract_no_canaries", False))
    names = [canary.name for canary in CANARIES]
    level, gaps = level_of(ledger, names, tier)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "contract": {"version": CONTRACT.version, "digest": CONTRACT.digest},
        "suite": ledger.suite,
        "joined": ledger.joined,
        "level": level.value,
        "gaps": {higher.value: texts for higher, texts in gaps.items()},
        "judged": "silent" not in {ledger.canary(name) for name in names},
        "tier": tier,
        "seed": seed,
        "ended_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(ledger.seconds, 3),
        "tests": {"run": len(ledger.decided), "chosen": ledger.expected, "deselected": ledger.deselected},
        **ledger.facts,
        "totals": {verdict.value: len(ledger.clauses(verdict)) for verdict in Verdict},
        "blamed": ledger.blamed(),
        "clauses": {clause_id: clause_report(clause_id, ledger) for clause_id in CLAUSES},
        "deviations": [
            {**deviation, "verdict": ledger.verdict(name).value, "expired": deviation["expires"] < today}
            for name, deviation in ledger.deviations.items()
        ],
        "needless_deviations": ledger.needless_deviations(),
        "canaries": {
            "switched_off": switched_off,
            "results": {
                name: {"result": ledger.canary(name), "tests": ledger.canaries.get(name, {})} for name in names
            },
        },
        "reproduce": reproduce(ledger, config),
    }


def clause_report(clause_id: str, ledger: Ledger) -> Report:
    clause, record = CLAUSES[clause_id], ledger.record_of(clause_id)
    found = dataclasses.asdict(record)
    found.pop("hook_missing")
    return {
        "rule": clause.rule,
        "capability": clause.capability,
        "provisional": clause.provisional,
        **found,
        "verdict": record.verdict.value,
        "seconds": round(record.seconds, 3),
    }


def reproduce(ledger: Ledger, config: pytest.Config) -> str:
    """Return the command that repeats the run, with passwords masked."""
    tier, seed = tier_and_seed(config)
    if ledger.joined:
        words = ["--pyargs", "module_sdk_contract", f"--task-manager-url={ledger.facts.get('url', '…')}"]
        opener = config.getoption("task_manager_opener")
        words += [f"--task-manager-opener={opener}"] if opener else []
    else:
        words = [ledger.suite]
    words += [f"--contract-tier={tier}", f"--contract-seed={seed}"]
    words += [f"--contract-clause={text}" for text in config.getoption("contract_clause", ())]
    words += ["--contract-no-canaries"] if config.getoption("contract_no_canaries", False) else []
    for option, name in (("-k", "keyword"), ("-m", "markexpr")):
        chosen = config.getoption(name, "")
        words += [option, chosen] if chosen else []
    return shlex.join(["pytest", "-p", "module_sdk_contract", *words])


def write(report: Report, folder: Path) -> Path:
    """Write `report.json`, `report.md` and `badge.json`, and return their folder. A suite class has its own folder."""
    suite_folder = folder if report["joined"] else folder / report["suite"].rpartition("::")[2]
    suite_folder.mkdir(parents=True, exist_ok=True)
    (suite_folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (suite_folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (suite_folder / "badge.json").write_text(json.dumps(badge(report), indent=1) + "\n", encoding="utf-8")
    return suite_folder


def badge(report: Report) -> Report:
    """Return the JSON of an endpoint badge of shields.io."""
    count = report["totals"][Verdict.DEVIATION.value]
    deviations = f", {count} deviation{'s' if count > 1 else ''}" if count else ""
    return {
        "schemaVersion": 1,
        "label": f"module-sdk contract {report['contract']['version']}",
        "message": f"{report['level']}{deviations}",
        "color": COLORS[Level(report["level"])],
    }
