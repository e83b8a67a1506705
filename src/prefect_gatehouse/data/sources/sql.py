"""A query as a source: one SELECT, run as a subquery in a transaction that can't write, its rows streamed into Arrow batches.

Only the columns that are asked for leave the database. SQLite is opened read-only, with an authorizer that admits nothing but reading;
PostgreSQL in a read-only, repeatable-read transaction with a cursor on the server. Other dialects stream if their driver can.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property

import pyarrow as pa
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from prefect_gatehouse.data.sources.content import ContentHash
from prefect_gatehouse.data.sources.interface import BATCH_ROWS, Part, Rejects, SqlPlace
from prefect_gatehouse.data.sources.query import WHERE, select_statement
from prefect_gatehouse.data.sources.sql_dialects import Deadline, as_text, declared_types, read_only, translated
from prefect_gatehouse.data.sources.sql_types import learnt_type
from prefect_gatehouse.errors import Denied, InputError, Unavailable
from prefect_gatehouse.manifest.endpoints import endpoint_of, parse

# Rows that are Python objects at one time: enough to hide the way to the server, few enough to weigh a few megabytes.
_FETCH = 1 << 13
# Rows that are looked at where the driver does not say a column's type.
_SAMPLE = 1000


@contextmanager
def open_query(place: SqlPlace, address: str, rejects: Rejects) -> Iterator[QuerySource]:
    """Opens the database and begins the transaction; leaving rolls it back.

    Args:
        place: The query, and the system that it is for.
        address: SQLAlchemy URL; never repeated in an error.
        rejects: Stays empty: what a database sends is read as a whole or not at all.

    Raises:
        InputError: The query is not one SELECT, or the address is none.
        Denied: The address is not the declared system, or the database refuses.
        Unavailable: The database does not answer.
    """
    query = select_statement(place.query)
    if endpoint_of(address, "read_source") != place.endpoint:
        raise Denied("the source address is not the declared system", where=f"systems.{place.system}", advice="correct the block or the manifest")
    url = parse(address, "read_source")
    deadline = Deadline()
    try:
        options = read_only(url, deadline)
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, **options.engine)
    except (SQLAlchemyError, ImportError):
        raise Unavailable("the database's driver is not installed", where=WHERE, advice="install it, then resume the run") from None
    try:
        with translated():
            connection = engine.connect().execution_options(**options.connection)
        try:
            with translated():
                if options.prepare is not None:
                    options.prepare(connection.connection.dbapi_connection)
                for statement in options.statements:
                    connection.exec_driver_sql(statement)
            yield QuerySource(connection, query, deadline, rejects)
        finally:
            with translated():
                connection.close()
    finally:
        engine.dispose()


class QuerySource:
    """The source."""

    typed = True

    def __init__(self, connection: Connection, query: str, deadline: Deadline, rejects: Rejects) -> None:
        self._connection = connection
        self._query = query
        self._deadline = deadline
        self.rejects = rejects
        self._content: ContentHash | None = None
        self._done = 0
        self._ended = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every column of the query."""
        return self._described[0]

    def digest(self) -> str:
        """SHA-256 of the columns that were read, in the order in which the rows came.

        Raises:
            InputError: They have not all been read here: only then does the digest exist.
        """
        if self._content is None or not self._ended:
            raise InputError("the digest of a query exists when its rows have been read", where=WHERE, advice="ask the process that read them")
        return self._content.hexdigest()

    def parts(self) -> tuple[Part, ...]:
        """One: two readings of a query need not see the same rows."""
        return (Part(),)

    def batches(self, columns: Sequence[str], part: Part | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns; all but the last have ``BATCH_ROWS`` rows.

        Raises:
            InputError: A column has a type that is not read, or values of several.
            Denied: The database refuses.
            Unavailable: It does not answer, or not in time.
        """
        with translated():
            types, texts = self._types(columns)
        schema = pa.schema(list(zip(columns, types, strict=True)))
        self._content, self._done, self._ended = ContentHash(schema), 0, False
        waiting: list[pa.RecordBatch] = []
        with translated():
            for batch in self._rows(columns, schema, texts):
                waiting.append(batch)
                self._done += batch.num_rows
                if len(waiting) * _FETCH == BATCH_ROWS or batch.num_rows < _FETCH:
                    yield self._joined(waiting, schema)
                    waiting = []
            if waiting:
                yield self._joined(waiting, schema)
        self._ended = True

    def progress(self) -> tuple[int, int]:
        """Rows read, and how many there are at least: a query is not counted beforehand."""
        return self._done, self._done if self._ended else self._done + BATCH_ROWS

    def _joined(self, waiting: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
        arrays = [pa.concat_arrays([batch.column(index) for batch in waiting]) for index in range(len(schema))]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        assert self._content is not None  # batches made it
        self._content.update(batch)
        return batch

    def _rows(self, columns: Sequence[str], schema: pa.Schema, texts: frozenset[str]) -> Iterator[pa.RecordBatch]:
        chosen = [as_text(self._quoted(name)) if name in texts else self._quoted(name) for name in columns]
        for rows in self._stream(self._statement(chosen)):
            arrays = [_array(field, values) for field, values in zip(schema, zip(*rows, strict=True), strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _stream(self, statement: str, size: int = _FETCH) -> Generator[Sequence[Sequence[object]], None, None]:
        self._deadline.begin()
        # Without parameters, or some drivers would read a percent sign in the query as the place of one.
        options = {"no_parameters": True, "stream_results": True, "max_row_buffer": size}
        result = self._connection.exec_driver_sql(statement, execution_options=options)
        try:
            for rows in result.partitions(size):
                yield rows
                self._deadline.begin()
        finally:
            result.close()

    def _statement(self, columns: Sequence[str], condition: str = "1 = 1") -> str:
        # The query is the manifest's, checked by select_statement and approved by people; the names are quoted.
        return f"SELECT {', '.join(columns)} FROM ({self._query}\n) AS gatehouse_source WHERE {condition}"  # noqa: S608

    def _quoted(self, name: str) -> str:
        return self._connection.dialect.identifier_preparer.quote_identifier(name)

    @cached_property
    def _described(self) -> tuple[tuple[str, ...], dict[str, pa.DataType | str] | None]:
        """The names, and each column's type, or why it has none, where the driver says it."""
        with translated():
            self._deadline.begin()
            options = {"no_parameters": True}
            result = self._connection.exec_driver_sql(self._statement(["*"], "1 = 0"), execution_options=options)
            try:
                return tuple(result.keys()), declared_types(self._connection.dialect.name, result.cursor)
            finally:
                result.close()

    def _types(self, columns: Sequence[str]) -> tuple[list[pa.DataType], frozenset[str]]:
        """The type of each column, and which are turned into text by the database."""
        _, declared = self._described
        if declared is None:
            return self._learnt(columns), frozenset()
        found = []
        texts = set()
        for name in columns:
            kind = declared[name]
            if kind == "uuid":
                texts.add(name)
                kind = pa.string()
            if isinstance(kind, str):
                raise InputError(f"column '{name}' {kind}", where=WHERE, advice="cast it in the query")
            found.append(kind)
        return found, frozenset(texts)

    def _learnt(self, columns: Sequence[str]) -> list[pa.DataType]:
        """Types from the first values: for drivers that tell none."""
        quoted = [self._quoted(name) for name in columns]
        sample = self._first_rows(self._statement(quoted), _SAMPLE)
        found = []
        for index, name in enumerate(columns):
            values = [row[index] for row in sample if row[index] is not None]
            if sample and not values:
                rows = self._first_rows(self._statement([quoted[index]], f"{quoted[index]} IS NOT NULL"), 1)
                values = [row[0] for row in rows]
            found.append(learnt_type(name, values))
        return found

    def _first_rows(self, statement: str, size: int) -> Sequence[Sequence[object]]:
        with closing(self._stream(statement, size)) as blocks:
            return next(blocks, [])


def _array(field: pa.Field, values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        message = f"column '{field.name}' holds values that are not {field.type}"
        raise InputError(message, where=WHERE, advice="cast it to one type in the query") from None
