"""A real search compared with random search, in the same time: both fronts in one figure::

    python -m benchmarks.search.real --data FOLDER [--minutes 12] [--out runs/real]

Searches `bccd.toml` in this folder twice: by a study with halving and a ladder, and by random
draws.
A study that exists already is only read. Prints both results and writes `docs/bccd.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.table import Table

from benchmarks.figures import write_png
from launch import search
from launch.figures import DEFAULT, heights
from launch.files import SETTINGS
from launch.pareto import front, hypervolume
from launch.study.opening import read_records

SPACE = Path(__file__).with_name("bccd.toml")
FIGURE = Path("docs/bccd.png")
WAYS: dict[str, dict[str, Any]] = {
    "study": {"papers": False, "ladder": (0.3, 0.5), "early_stopping": "halving"},
    "random": {"sampler": "random", "papers": False},
}
COLORS = {"study": "#d62728", "random": "#7f7f7f"}


def finished(folder: Path) -> list[tuple[float, float]]:
    """AP_small and FPS of the finished trials of a study."""
    results = [r.result for r in read_records(folder) if r.state == "finished"]
    return [(result.figure("ap_small"), result.figure("fps")) for result in results]


def figure(found: dict[str, list[tuple[float, float]]]) -> go.Figure:
    """All trials as dots and the fronts as lines."""
    drawn = go.Figure()
    for name, points in found.items():
        scores, speeds = zip(*points, strict=True)
        drawn.add_scatter(
            x=speeds, y=scores, mode="markers", marker_color=COLORS[name], opacity=0.4,
            showlegend=False,
        )  # fmt: skip
        best = [points[k] for k in front(points)]
        scores, speeds = zip(*best, strict=True)
        drawn.add_scatter(
            x=speeds, y=scores, mode="lines+markers", name=name, line_shape="vh",
            line_color=COLORS[name],
        )  # fmt: skip
    drawn.update_xaxes(title="FPS", type="log")
    drawn.update_yaxes(title="AP_small")
    drawn.update_layout(margin={"t": 20, "r": 20})
    return drawn


def table(found: dict[str, list[tuple[float, float]]]) -> Table:
    """The results of both searches; hypervolumes have the same reference point."""
    slowest = min(fps for points in found.values() for _, fps in points)
    made = Table("", "trials", "front", "hypervolume", "best AP_small", "fastest FPS")
    for name, points in found.items():
        area = hypervolume([heights(DEFAULT, p) for p in points], heights(DEFAULT, (0.0, slowest)))
        best, fastest = map(max, zip(*points, strict=True))
        made.add_row(
            name, str(len(points)), str(len(front(points))), f"{area:.3f}", f"{best:.3f}",
            f"{fastest:.0f}",
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = {}
    for name, devices in WAYS.items():
        folder, limits = arguments.out / name, {"trials": 500, "minutes": arguments.minutes}
        if not (folder / SETTINGS).exists():
            search(SPACE, arguments.data, folder, seed=arguments.seed, **limits, **devices)
        found[name] = finished(folder)
        if not found[name]:
            raise SystemExit(f"{folder}: no trial finished; see its report, or raise --minutes")
    Console().print(table(found))
    write_png(figure(found), FIGURE)


if __name__ == "__main__":
    main()
