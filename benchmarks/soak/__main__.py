# SPDX-License-Identifier: Apache-2.0
"""Feed readers with damage and disturb programs, for a while, and print what came of it as tables.

What was done is kept: the same command goes on. `make soak` runs it for an hour.

    python -m benchmarks.soak --minutes 60
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.__main__ import commit
from benchmarks.measure import machine
from benchmarks.soak.runner import Log, run_cases

CASES, DISTURBANCES = 20_000, 300
OUTCOMES = ("same", "refused", "accepted", "other", "foreign", "hang", "crash")
TURNS = (True, False, True, True, True)
"""Which of the turns of a program are kills; in the others, each of its faults has its turn."""


def plan(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield which program is disturbed next, and by what; trainings, which take longest, every fourth time."""
    from benchmarks.soak.faults import FAULTS, KILL
    from benchmarks.soak.programs import PROGRAMS

    turns = dict.fromkeys(names, 0)
    for turn in itertools.count():
        for place, name in enumerate(names):
            if name.startswith("train.") and turn % 4 != 3:
                continue
            rounds, of_round = divmod(turns[name], len(TURNS))
            faults = list(FAULTS[PROGRAMS[name].by])
            others = rounds * TURNS.count(False) + TURNS[:of_round].count(False)
            yield name, KILL if TURNS[of_round] else faults[(others + place) % len(faults)]
            turns[name] += 1


def disturb(log: Log, folder: Path, last: int, until: float, names: Sequence[str]) -> None:
    """Disturb programs, up to a number of times or a moment of `time.monotonic`."""
    from benchmarks.soak.bench import Bench
    from benchmarks.soak.faults import disturbed
    from benchmarks.soak.processes import load
    from benchmarks.soak.programs import PROGRAMS

    following = 1 + max((result["case"] for result in log.results), default=-1)
    if following >= last or time.monotonic() > until:
        return
    load(program.module for program in PROGRAMS.values())
    benches = {name: Bench(PROGRAMS[name], folder / name.replace(" ", "").replace(",", "-")) for name in names}
    try:
        for number, (name, fault) in itertools.islice(enumerate(plan(names)), following, last):
            if time.monotonic() > until:
                return
            start = time.monotonic()
            outcome, said = disturbed(benches[name], fault, number)
            taken = {"seconds": round(time.monotonic() - start, 1)}
            log.add({"case": number, "of": f"{name}, {fault}", "outcome": outcome, "said": said[:300], **taken})
    finally:
        for bench in benches.values():
            bench.close()


def table(log: Log, outcomes: Iterable[str], title: str) -> str:
    """Return the outcomes of all cases as a table."""
    counted, outcomes = log.count(), list(outcomes)
    kinds = list(dict.fromkeys(of for of, _ in sorted(counted)))
    rows = [[of, *(str(counted[of, outcome] or "") for outcome in outcomes)] for of in kinds]
    total = [f"all {len(log.results)}", *(str(sum(counted[of, each] for of in kinds)) for each in outcomes)]
    lines = [[title, *outcomes], ["---"] * (len(outcomes) + 1), *rows, total]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Soak, and print the tables; the status is 1 where something was wrong."""
    from benchmarks.soak.programs import PROGRAMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.soak")
    add = parser.add_argument
    add("--output", type=Path, default=Path("benchmarks/output/soak"), help="folder of what was done")
    add("--minutes", type=float, default=60.0, help="how long to go on (default: %(default)g)")
    add("--cases", type=int, default=CASES, help="damaged files and command lines in all (default: %(default)s)")
    add("--disturbances", type=int, default=DISTURBANCES, help="of programs in all (default: %(default)s)")
    add("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS), help="to disturb (default: all)")
    arguments = parser.parse_args(argv)
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * arguments.minutes
    cases, disturbances = Log(folder / "cases.jsonl"), Log(folder / "disturbances.jsonl")
    run_cases(cases, folder / "files", arguments.cases, until)
    disturb(disturbances, folder / "programs", arguments.disturbances, until, arguments.programs)
    wrong = [
        f"- {log.path.name} {result['case']}, {result['of']}: {result['outcome']}: {result['said']}"
        for log in (cases, disturbances)
        for result in log.results
        if result["outcome"] in ("other", "foreign", "hang", "crash", "wrong")
    ]
    print(table(cases, OUTCOMES, "damaged files and command lines"), end="\n\n")
    print(table(disturbances, ("same", "wrong"), "disturbed programs"), end="\n\n")
    kills = sum(result["said"].count("killed ") for result in disturbances.results)
    print(f"{kills} kills at random moments.", end="\n\n")
    print("\n".join(wrong) or "Nothing was wrong.")
    print(f"\nCommit {commit()}, on {machine()}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
