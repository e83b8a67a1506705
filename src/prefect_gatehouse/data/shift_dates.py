"""The rule ``shift_dates``: every date of one subject moves by the same secret number of days, so intervals within a subject stay.

The number comes from AES-CMAC (NIST SP 800-38B, used as a pseudorandom function as in SP 800-108) of the subject's canonical text
under a key of its own. Without the key nobody can tell it; a group of subjects is spread over up to twice ``days``. What a shift does
not hide: the length of an interval, and a date that all subjects share with the same interval to it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults
from prefect_gatehouse.data.dates import SECONDS, TICK_LIMIT, TICKS, iso_text, within, within_years
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens.cmac import mac
from prefect_gatehouse.tokens.columns import canonical_text, is_text, text_bytes

_DAY_LENGTH = 10


class ShiftedDates(Counting):
    """Dates, timestamps and ISO text move by whole days; the time of day stays, and the type too.

    Args:
        name: The column.
        subject: Column that says whose date it is.
        days: Dates move by up to this many days, back or forth, never by 0.
        key: 32 bytes, for the subject's join domain only.
        nulls: ``refuse`` if a missing value is a bad one.
    """

    def __init__(self, name: str, subject: str, days: int, key: bytes, *, nulls: str = "keep") -> None:
        super().__init__(name, f"by up to {counted(days, 'day')}, the same for one {subject}", nulls=nulls, also=(subject,))
        self._days = days
        self._key = key

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, shifted; a date without a subject is bad."""
        dates, subjects = arrays
        shift = self._shift(subjects)
        dates = faults.without(dates, pc.and_(dates.is_valid(), shift.is_null()), "have no subject")
        kind = dates.type
        if is_text(kind):
            text, days = iso_text(self, faults, dates)
            moved = self._moved(faults, days, shift).cast(pa.string())
            return pc.binary_join_element_wise(moved, pc.utf8_slice_codeunits(text, _DAY_LENGTH), "")
        if pa.types.is_date(kind):
            return self._moved(faults, within(faults, dates.cast(pa.date32())), shift).cast(kind)
        if pa.types.is_timestamp(kind):
            # Whole days of 24 hours on the time line: exact intervals, whatever the zone's summer time does.
            last = TICK_LIMIT - self._days * SECONDS * TICKS[kind.unit]
            dates = faults.without(dates, pc.greater(pc.abs(dates.cast(pa.int64())), last), "can't move within their type")
            ticks = pc.multiply(shift.cast(pa.int64()), SECONDS * TICKS[kind.unit]).cast(pa.duration(kind.unit))
            return within_years(faults, pc.add(within_years(faults, dates), ticks))
        if pa.types.is_null(kind):
            return dates
        raise self.refusal(f"values of type {kind} are not dates")

    def _moved(self, faults: Faults, days: pa.Array, shift: pa.Array) -> pa.Array:
        return within(faults, pc.add(days.cast(pa.int32()), shift).cast(pa.date32()))

    def _shift(self, subjects: pa.Array) -> pa.Array:
        """Days (int32) for each row, null where the subject is missing."""
        try:
            subjects = canonical_text(subjects).dictionary_encode()
        except DataRefused as error:
            raise self.refusal(f"its subject can't be read: {error.message}", error.advice) from None
        return pa.array(days_for(self._key, *text_bytes(subjects.dictionary), self._days), pa.int32()).take(subjects.indices)


def days_for(key: bytes, data: npt.NDArray[np.uint8], edges: npt.NDArray[np.int64], days: int) -> npt.NDArray[np.int32]:
    """The shift of each of n subjects, in -days..-1 and 1..days.

    The first 8 bytes of the MAC modulo 2 days: for 3650 days no shift is likelier than another by more than 2^-51 of its share.
    """
    draws = mac(key, data, edges)[:, :8].copy().view("<u8").ravel() % np.uint64(2 * days)
    shift: npt.NDArray[np.int32] = draws.astype(np.int32) - days
    return np.where(shift >= 0, shift + 1, shift)
