# SPDX-License-Identifier: Apache-2.0
"""Feed readers with damage and disturb programs, for a while, and print what came of it as tables.

What was done is kept: the same command goes on. `make soak` runs it for an hour.

    python -m benchmarks.soak --minutes 60
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.__main__ import commit
from benchmarks.measure import machine
from benchmarks.soak.runner import Log, run_cases

CASES, DISTURBANCES = 20_000, 200
OUTCOMES = ("same", "refused", "accepted", "other", "foreign", "hang", "crash")
KILL_SHARE = 2
"""Every so many of the disturbances is a kill."""


def disturb(log: Log, folder: Path, last: int, until: float, names: Sequence[str]) -> None:
    """Disturb programs, up to a number of times or a moment of `time.monotonic`."""
    from benchmarks.soak.faults import FAULTS, Bench, disturbed
    from benchmarks.soak.programs import PROGRAMS, load

    following = 1 + max((result["case"] for result in log.results), default=-1)
    if following >= last or time.monotonic() > until:
        return
    load()
    benches = {name: Bench(PROGRAMS[name], folder / name) for name in names}
    others = [fault for fault in FAULTS if fault not in ("kill -9", "network")]
    for number in range(following, last):
        if time.monotonic() > until:
            return
        name = names[number % len(names)]
        turn = number // len(names)
        disturbing = ["network"] if PROGRAMS[name].served else others
        fault = "kill -9" if turn % KILL_SHARE == 0 else disturbing[turn // KILL_SHARE % len(disturbing)]
        outcome, said = disturbed(benches[name], fault, number)
        log.add({"case": number, "of": f"{name}, {fault}", "outcome": outcome, "said": said})


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
    add("--disturbances", type=int, default=DISTURBANCES * KILL_SHARE, help="of programs in all (default: %(default)s)")
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
    print("\n".join(wrong) or "Nothing was wrong.")
    print(f"\nCommit {commit()}, on {machine()}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
