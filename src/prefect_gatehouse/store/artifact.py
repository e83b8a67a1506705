"""What is known of an artifact: its place, its digest, its size, and its end."""

from __future__ import annotations

from pydantic import Field

from prefect_gatehouse.value import Digest, Value


class Artifact(Value):
    """An encrypted table of one run: a file, or a folder of files that hold its rows one after the other."""

    uri: str = Field(description="artifact:<run>/<name>, below the artifact store.")
    sha256: Digest = Field(description="Of the encrypted bytes; of several files, of the RFC 8785 list of their digests.")
    rows: int = Field(ge=0)
    columns: tuple[str, ...]
    bytes: int = Field(ge=0)


class Deletion(Value):
    """One artifact's end."""

    uri: str
    deleted: bool
    note: str = ""
