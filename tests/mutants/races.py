"""The reliability of the race tests: `python -m tests.mutants.races` runs each race mutant twenty times.

The exit status is 1 if a mutant was caught in fewer than 95 % of the rounds. Servers are started once for all rounds.
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

MINIMUM_CAUGHT_SHARE: Final = 0.95


def measure(rounds: int) -> dict[str, int]:
    """Return in how many rounds each race mutant was caught, by its id."""
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
    sys.exit(any(count < MINIMUM_CAUGHT_SHARE * rounds for count in caught.values()))


if __name__ == "__main__":
    main()
