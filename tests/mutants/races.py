"""How surely races are caught: `python -m tests.mutants.races` runs each race mutant twenty times.

Exits with 1 if one was caught less often than nineteen times in twenty. Servers are started once for all runs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import sys
from typing import Final

from devtools.servers.kinds import KINDS
from tests.mutants.registry import MUTANTS
from tests.mutants.running import is_killed, run_mutants

LEAST_SHARE: Final = 0.95


def measure(rounds: int) -> dict[str, int]:
    """How often each was caught, by the id of the mutant."""
    caught: collections.Counter[str] = collections.Counter()
    races = [mutant for mutant in MUTANTS if mutant.is_race]
    for seed in range(rounds):
        ends = run_mutants("--mutants=races", f"--contract-seed={seed}")
        caught.update(mutant.id for mutant in races if is_killed(mutant, ends))
        print(f"round {seed + 1} of {rounds}: {sum(caught.values())} of {len(races) * (seed + 1)}", flush=True)
    return {mutant.id: caught[mutant.id] for mutant in races}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with contextlib.ExitStack() as running:
        for kind in KINDS:
            if kind.find_binary() is not None:
                os.environ[kind.variable] = running.enter_context(kind()).url
        caught = measure(rounds)
    for name, count in caught.items():
        print(f"{count:>3} of {rounds}  {name}")
    sys.exit(any(count < LEAST_SHARE * rounds for count in caught.values()))


if __name__ == "__main__":
    main()
