"""Latency against the number of tasks, for each store: the facade beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

FOUND: Final = 10
SHOWN: Final = "list_user_tasks"
COLUMNS: Final = 3


def draw(results: dict[str, Any], path: Path) -> bool:
    """Whether there was anything to draw: one size alone makes no line."""
    series = {one["store"]: points(one) for one in results["findings"]}
    series = {store: found for store, found in series.items() if len(found) > 1}
    if not series:
        return False
    import matplotlib as mpl  # noqa: PLC0415  # not needed for tables, and not part of the tests' extra
    import matplotlib.pyplot as plt  # noqa: PLC0415  # the same

    # The same picture for the same results.
    mpl.rcParams["svg.hashsalt"] = "module-sdk"
    rows = -(-len(series) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(10, 2.9 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, (store, found) in zip(axes.flat, series.items(), strict=False):
        sizes = [size for size, _ in found]
        for name, style in (("facade", "o-"), ("reference", "s--")):
            axis.plot(sizes, [times[name]["median"] for _, times in found], style, label=name, markersize=4)
        axis.set(xscale="log", title=store, xlabel="tasks", ylabel="µs", ylim=(0, None))
        axis.grid(visible=True, alpha=0.3)
    axes.flat[0].legend()
    figure.suptitle(f"{SHOWN} with {FOUND} tasks found: median latency")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True


def points(stated: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    chosen = (one for one in stated["timings"] if one.get("lookup") == SHOWN and one["found"] == FOUND)
    return sorted((one["size"], one["microseconds"]) for one in chosen)
