"""``python -m bench``: measure every promise, print the table, write ``bench/latest.json``."""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import phases, rewards
from phoenix_site.runtime.instance import throw_away_instance

PHASES = {
    "accepting": phases.accepting,
    "scoring": phases.scoring,
    "together": phases.everything_at_once,
    "visibility": phases.visibility,
    "reading": phases.reading,
    "live": phases.live,
    "rules": rewards.rules,
    "postings": rewards.postings,
    "redeeming": rewards.redeeming,
    "rewards": rewards.reading,
    "backtest": rewards.backtest,
    "memory": phases.memory,
}
LATEST = Path(__file__).parent / "latest.json"


def main() -> int:
    """Run the chosen phases; the exit code is 1 when a promise was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("phases", nargs="*", choices=[[], *PHASES], help="default: all of them")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each measurement")
    options = parser.parse_args()
    rows: list[phases.Row] = []
    with throw_away_instance() as phoenix:
        bench = phases.Bench(phoenix, seconds=options.seconds)
        bench.set_up()
        print(_header())
        for name in options.phases or PHASES:
            for row in PHASES[name](bench):
                rows.append(row)
                print(_line(row), flush=True)
    _write(rows, seconds=options.seconds)
    missed = [row for row in rows if row.kept is False]
    print(f"\n{len(missed)} of {sum(row.kept is not None for row in rows)} promises missed.")
    return 1 if missed else 0


def _header() -> str:
    return f"{'what':58} {'value':>12} {'unit':9} {'ceiling':>10} {'ratio':>6}  {'promised':10}"


def _line(row: phases.Row) -> str:
    ceiling = f"{row.ceiling:,.0f}" if row.ceiling is not None else ""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    verdict = {True: "kept", False: "MISSED", None: ""}[row.kept]
    return (
        f"{row.name:58} {row.value:>12,.1f} {row.unit:9} {ceiling:>10} {ratio:>6}"
        f"  {row.wanted:10} {verdict}"
    )


def _write(rows: list[phases.Row], *, seconds: float) -> None:
    document: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds_per_measurement": seconds,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
        "rows": [row.as_dict() for row in rows],
    }
    LATEST.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
