"""Files of an alignment run: a cell is finished when both of its files are there, from the same inputs.

    <output_dir>/scores/<condition>/alignment/test-<lang>.jsonl    the cell's rows, as in results.jsonl
    <output_dir>/scores/<condition>/alignment/test-<lang>.npz      per layer: hits, cosines of lines, CKA of halves
    <output_dir>/results.jsonl     the rows of all cells; written when a run ends or is stopped

Rows: task "alignment", language, condition, layer (None where it does not depend on one), metric, value, low, high,
floor (the metric of shuffled lines), random (of random weights, where asked for), n, and where they come from.
"""

import io
import math
from pathlib import Path

import numpy as np

from common.files import write_bytes, write_json_lines, write_text
from common.results import READ_BACK, read_entries

TASK = "alignment"


class Cells:
    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, language, condition):
        return self.folder / "scores" / condition / TASK / f"test-{language}.jsonl"

    def rows(self, language, condition):
        """The rows of a cell, [] where it is not finished; InputError naming a broken line."""
        path = self.path(language, condition)
        if not (path.exists() and path.with_suffix(".npz").exists()):
            return []
        return read_entries(path, READ_BACK | {"layer"}, "remove the file to measure its cell again")

    def finished(self, language, condition, inputs):
        rows = self.rows(language, condition)
        return bool(rows) and rows[0]["inputs"] == inputs

    def add(self, language, condition, estimates, arrays, random, **about):
        """Write one cell: estimates {layer: {metric: Estimate}}, `random` the same of random weights, or None."""
        rows = []
        for layer, metrics in estimates.items():
            for metric, one in metrics.items():
                values = {name: rounded(getattr(one, name)) for name in ("value", "low", "high", "floor")}
                if random is not None:
                    other = random[layer].get(metric)
                    values["random"] = other and rounded(other.value)
                cell = {"task": TASK, "language": language, "condition": condition, "layer": layer, "metric": metric}
                rows.append({**cell, **values, "n": one.n, **about, "predictions": None})
        path, content = self.path(language, condition), io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(path.with_suffix(".npz"), content.getvalue())
        write_json_lines(path, rows)

    def write_results(self):
        """results.jsonl: all finished cells, in the order of conditions and languages."""
        cells = sorted(self.folder.glob(f"scores/*/{TASK}/test-*.jsonl"), key=lambda path: (path.parts[-3], path.name))
        write_text(self.folder / "results.jsonl", "".join(path.read_text(encoding="utf-8") for path in cells))


def rounded(value):
    """Six significant digits; None for what could not be computed."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
