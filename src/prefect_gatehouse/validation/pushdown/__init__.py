"""The checks of a suite that are computed on Arrow record batches, with the verdicts of Great Expectations on the same data."""
