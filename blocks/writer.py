"""Writing a new text into the secret that a block reference names; one small function a type, as in ``reader``.

A writer replaces what was read and nothing else: where the store can compare and set, it does; where it can't, the secret is read once
more just before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.blocks.reader import read_text
from prefect_gatehouse.blocks.stores import load_block, store_error
from prefect_gatehouse.errors import Ambiguous, Denied, Unavailable
from prefect_gatehouse.secrets.lease import SecretText

if TYPE_CHECKING:
    from prefect_gatehouse.blocks.vault import VaultSecret

Write = Callable[[Any, str, str | None, SecretText, str], None]
_WRITERS: dict[str, Write] = {}


def register(block_type: str, write: Write) -> None:
    """Makes a block type writable.

    Args:
        block_type: The type's slug.
        write: Takes the loaded block, the new text, the field after ``#``, what was read before, and the block's name.
    """
    _WRITERS[block_type] = write


def write_secret(reference: str, text: str, *, instead_of: SecretText) -> SecretText:
    """Replaces the secret that a reference names, and reads it back.

    Args:
        reference: ``type/name`` or ``type/name#field``.
        text: The new text.
        instead_of: What ``read_text`` gave.

    Returns:
        The secret as it is stored now.

    Raises:
        Denied: The block type's store is not written, or it refuses.
        Unavailable: The store does not answer, or the secret has changed meanwhile; then nothing was written.
        Ambiguous: The store took the text, and holds another one now.
    """
    place, _, field = reference.partition("#")
    block_type, _, name = place.partition("/")
    write = _WRITERS.get(block_type)
    if write is None:
        raise Denied(
            f"blocks of type {block_type} are not written",
            where=place,
            advice=f"add the version in its store by hand, or use one of {', '.join(sorted(_WRITERS))}",
        )
    block = load_block(place)
    try:
        write(block, text, field or None, instead_of, name)
    except Exception as error:  # noqa: BLE001 - the stores' errors have many types and may quote what they got
        raise store_error(error, place, "write") from None
    now = read_text(reference)
    if now.reveal() != text:
        raise Ambiguous("somebody else has written this secret at the same time", where=place, advice=f"look at it: gatehouse keys list {reference}")
    return now


def _changed(place: str) -> Unavailable:
    return Unavailable("the secret has changed meanwhile; nothing was written", where=place, advice="try again", retry=True)


def _with_field(text: str, field: str | None, value: str, place: str) -> str:
    """The JSON text with one field replaced, or the value alone where no field is named."""
    if field is None:
        return value
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or field not in fields:
        raise _changed(place)
    return json.dumps({**fields, field: value})


def _prefect_secret(block: Any, text: str, field: str | None, instead_of: SecretText, name: str) -> None:
    from prefect.blocks.system import Secret

    place = f"secret/{name}"
    if read_text(place if field is None else f"{place}#{field}").reveal() != instead_of.reveal():
        raise _changed(place)
    value = block.get()
    whole = json.dumps(value) if isinstance(value, dict) else str(value)
    Secret(value=_with_field(whole, field, text, place)).save(name, overwrite=True)


def _aws_secret(block: Any, text: str, field: str | None, instead_of: SecretText, name: str) -> None:
    place = f"aws-secret/{name}"
    client = block.aws_credentials.get_secrets_manager_client()
    answer = client.get_secret_value(SecretId=block.secret_name)
    if answer.get("VersionId", "") != instead_of.version:
        raise _changed(place)
    whole = answer.get("SecretString") or answer.get("SecretBinary", b"").decode()
    client.put_secret_value(SecretId=block.secret_name, SecretString=_with_field(whole, field, text, place))


def _vault_secret(block: VaultSecret, text: str, field: str | None, instead_of: SecretText, _name: str) -> None:
    block.write_secret(text, field, instead_of=instead_of.version)


register("secret", _prefect_secret)
register("aws-secret", _aws_secret)
register("vault-secret", _vault_secret)
