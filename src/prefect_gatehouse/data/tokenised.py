"""The rule ``tokenise``: each scheme of ``tokens`` as a rule over batches, and the random codes, which need every row first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.tokens import cmac, codes, ff1, ff1_columns, permute, permute_blocks, siv
from prefect_gatehouse.tokens.columns import canonical_text, is_text, text_bytes
from prefect_gatehouse.tokens.ff1_alphabet import named
from prefect_gatehouse.tokens.keys import RootKey

# As permutation gives them back: without a sign or zero in front.
_WHOLE = r"^(0|-?[1-9]\d{0,18})$"
_NOT_WHOLE = "are not whole numbers of 64 bits"
_NO_TOKEN = "have too few or too many characters of the alphabet, or others beside them"  # noqa: S105 no password
_CODE = "code "


def token_rule(name: str, declared: Tokenise, root: RootKey, tenant: str) -> Counting:
    """The rule of a column that is tokenised with a key.

    Raises:
        InputError: The scheme has no key.
    """
    domain = declared.join_domain or name
    form = declared.canonical or "text"
    if declared.scheme == "cmac":
        return Tokens(name, declared, cmac.Tokeniser(root, tenant=tenant, join_domain=domain, canonical=form))
    if declared.scheme == "siv":
        padding = declared.padding is not False
        return Tokens(name, declared, siv.Tokeniser(root, tenant=tenant, join_domain=domain, padding=padding, canonical=form))
    if declared.scheme == "ff1":
        return FormatTokens(name, declared, ff1.Tokeniser(root, tenant=tenant, join_domain=domain, alphabet=declared.alphabet or "digits"))
    if declared.scheme == "permute" and declared.form == "text":
        return Permuted(name, declared, permute_blocks.Tokeniser(root, tenant=tenant, join_domain=domain).text)
    if declared.scheme == "permute":
        return Permuted(name, declared, permute.Tokeniser(root, tenant=tenant, join_domain=domain))
    raise InputError("codes take the run's key, not the root key", where=f"column '{name}'")


def _detail(name: str, declared: Tokenise) -> str:
    settings = [f"joins {declared.join_domain}"] if declared.join_domain not in (None, name) else []
    if declared.scheme == "ff1":
        settings.append(declared.alphabet or "digits")
    if declared.form == "text":
        settings.append("as text")
    if declared.padding is False:
        settings.append("lengths show")
    if declared.canonical == "email":
        settings.append("e-mail addresses of either case")
    return ", ".join([declared.scheme, *settings])


class Tokens(Counting):
    """A token for each value."""

    def __init__(self, name: str, declared: Tokenise, tokeniser: Callable[[pa.Array], pa.Array]) -> None:
        super().__init__(name, _detail(name, declared), nulls=declared.nulls)
        self._tokeniser = tokeniser
        self._alphabet = named(declared.alphabet or "digits")

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch of tokens."""
        return self._told(self._tokeniser, arrays[0])

    def _told(self, function: Callable[[pa.Array], pa.Array], array: pa.Array) -> pa.Array:
        """Calls a function of the tokens; its refusals name the column."""
        try:
            return function(array)
        except DataRefused as error:
            raise self.refusal(error.message, error.advice) from None


class FormatTokens(Tokens):
    """A token of the same form for each value; one without a token is bad, so that its row can be set aside."""

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch of tokens."""
        try:
            return self._tokeniser(arrays[0])
        except DataRefused:
            text = self._told(canonical_text, arrays[0])
        present = text.is_valid().to_numpy(zero_copy_only=False)
        bad = np.zeros(len(text), np.bool_)
        bad[present] = ~ff1_columns.legal(ff1_columns.measure(*text_bytes(text.drop_null()), self._alphabet, None), self._alphabet)
        return self._told(self._tokeniser, faults.without(text, pa.array(bad), _NO_TOKEN))


class Permuted(Tokens):
    """Another whole number or a text for each; text of a CSV must be whole numbers that would come back as they are."""

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch of tokens."""
        array = arrays[0]
        if is_text(array.type):
            text = array.cast(pa.string())
            text = faults.without(text, pc.invert(pc.match_substring_regex(text, _WHOLE)), _NOT_WHOLE)
            array = self.parsed(faults, text, pa.int64(), _NOT_WHOLE)
        return self._told(self._tokeniser, array)


class Coded(Counting):
    """A random whole number for each of a few values, the same in every process of the run.

    The first pass gives tags under a key of the run, of which the tally holds the different ones; the second gives their places.

    Args:
        name: The column.
        declared: What the manifest says of it.
        key: 32 bytes, of this run only.
    """

    def __init__(self, name: str, declared: Tokenise, key: bytes) -> None:
        super().__init__(name, _detail(name, declared), nulls=declared.nulls)
        self._key = key

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch of tags, as text."""
        try:
            tags = codes.tag(canonical_text(arrays[0]), self._key).dictionary_encode()
        except DataRefused as error:
            raise self.refusal(error.message, error.advice) from None
        spelt = [each.hex() for each in tags.dictionary.to_pylist()]
        self.counted.update(dict.fromkeys((f"{_CODE}{each}" for each in spelt), 1))
        self._few(self.counted)
        return pa.array(spelt, pa.string()).take(tags.indices)

    def absorb(self, counted: Mapping[str, int]) -> None:
        """Adds what the same rule counted elsewhere.

        Raises:
            DataRefused: Together there are too many different values.
        """
        super().absorb(counted)
        self._few(self.counted)

    def finish(self, part: pa.ChunkedArray) -> pa.ChunkedArray:
        """A part as codes."""
        known = codes.Codes(tuple(sorted(bytes.fromhex(each) for each in self._known(self.counted))))
        places = {tag.hex(): place for place, tag in enumerate(known.tags)}
        found = part.combine_chunks() if part.num_chunks != 1 else part.chunk(0)
        encoded = found.dictionary_encode()
        numbers = pa.array([places[tag] for tag in encoded.dictionary.to_pylist()], pa.int64())
        return pa.chunked_array([numbers.take(encoded.indices)])

    def _few(self, counted: Mapping[str, int]) -> None:
        different = len(self._known(counted))
        if different >= codes.LIMIT:
            raise self.refusal(f"at least {different} distinct values are too many for codes", "use scheme cmac")

    @staticmethod
    def _known(counted: Mapping[str, int]) -> list[str]:
        return [key.removeprefix(_CODE) for key in counted if key.startswith(_CODE)]
