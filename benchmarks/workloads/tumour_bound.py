"""The tumour example with every setting of its template bound by its author: the same circuits in the same order, as a list."""

from __future__ import annotations


def solve(features, parameters):
    """The example's own generator, its one PUB taken apart."""
    import workload  # the example's file, which lies beside this one or on the path

    solving = workload.solve(features, parameters)
    ((_, values),) = next(solving)
    half = values.shape[1] // 2
    counts = yield [workload.overlap(row[:half], row[half:]) for row in values.tolist()]
    try:
        solving.send(counts)
    except StopIteration as finished:
        return finished.value
    raise RuntimeError("the example asks for a second round")
