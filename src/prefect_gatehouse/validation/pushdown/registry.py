"""Which expectations are computed on record batches, and by what. Everything else is Great Expectations'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.validation.pushdown import aggregates, distinct, nulls, pairs, quantiles, ranges, sets, table, text, types, uniqueness
from prefect_gatehouse.validation.pushdown.arguments import Arguments, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind

PROVEN = "1.24.1"
"""The release of Great Expectations whose arguments and verdicts these are (``tests/validation/test_verdicts.py``)."""

CHECKS: Mapping[str, Callable[[Arguments], Bind]] = {
    "expect_table_row_count_to_be_between": table.row_count_between,
    "expect_table_row_count_to_equal": table.row_count_equal,
    "expect_table_column_count_to_be_between": table.column_count_between,
    "expect_table_column_count_to_equal": table.column_count_equal,
    "expect_table_columns_to_match_set": table.columns_match_set,
    "expect_table_columns_to_match_ordered_list": table.columns_match_ordered_list,
    "expect_column_to_exist": table.column_exists,
    "expect_column_values_to_not_be_null": nulls.not_null,
    "expect_column_values_to_be_null": nulls.null,
    "expect_column_proportion_of_non_null_values_to_be_between": nulls.non_null_proportion,
    "expect_column_values_to_be_between": ranges.values_between,
    "expect_column_values_to_be_in_set": sets.in_set,
    "expect_column_values_to_not_be_in_set": sets.not_in_set,
    "expect_column_values_to_match_regex": text.match_regex,
    "expect_column_values_to_not_match_regex": text.not_match_regex,
    "expect_column_values_to_match_regex_list": text.match_regex_list,
    "expect_column_values_to_not_match_regex_list": text.not_match_regex_list,
    "expect_column_value_lengths_to_be_between": text.lengths_between,
    "expect_column_value_lengths_to_equal": text.lengths_equal,
    "expect_column_values_to_be_of_type": types.of_type,
    "expect_column_values_to_be_in_type_list": types.in_type_list,
    "expect_column_values_to_be_unique": uniqueness.values_unique,
    "expect_compound_columns_to_be_unique": uniqueness.compound_unique,
    "expect_column_unique_value_count_to_be_between": distinct.unique_count,
    "expect_column_proportion_of_unique_values_to_be_between": distinct.unique_proportion,
    "expect_column_distinct_values_to_be_in_set": distinct.distinct_in_set,
    "expect_column_distinct_values_to_contain_set": distinct.distinct_contain_set,
    "expect_column_distinct_values_to_equal_set": distinct.distinct_equal_set,
    "expect_column_most_common_value_to_be_in_set": distinct.most_common_in_set,
    "expect_column_min_to_be_between": aggregates.minimum,
    "expect_column_max_to_be_between": aggregates.maximum,
    "expect_column_mean_to_be_between": aggregates.mean,
    "expect_column_sum_to_be_between": aggregates.total,
    "expect_column_stdev_to_be_between": aggregates.deviation,
    "expect_column_median_to_be_between": quantiles.median,
    "expect_column_quantile_values_to_be_between": quantiles.quantiles,
    "expect_column_pair_values_a_to_be_greater_than_b": pairs.pair_greater,
    "expect_column_pair_values_to_be_equal": pairs.pair_equal,
    "expect_multicolumn_sum_to_equal": pairs.sum_equal,
}


@cache
def proven() -> bool:
    """Whether the installed release is the one that was compared; with another one, everything is Great Expectations'."""
    try:
        return version("great-expectations") == PROVEN
    except PackageNotFoundError:
        return False


def parse(kind: str, kwargs: Mapping[str, Json]) -> Bind | None:
    """What makes the check of an expectation, None where only Great Expectations can judge its type or its arguments."""
    if kind not in CHECKS:
        return None
    arguments = Arguments(kwargs)
    try:
        bind = CHECKS[kind](arguments)
        arguments.done()
    except NotPlain:
        return None
    return bind
