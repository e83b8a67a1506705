"""Publishing rows into a database table: staged, checked, published in one transaction together with a receipt of the run.

The receipt's primary key is the run, so a repeat finds it and changes nothing. Every row carries the run and the label of its
outcome. Staging is a table of the run's own, gone afterwards whatever happened.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Double,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    literal,
    select,
)
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable, DropTable
from sqlalchemy.types import TypeEngine

from prefect_gatehouse.errors import DataRefused, GatehouseError, StorageError, Tampered, Unavailable
from prefect_gatehouse.write_back.endpoints import endpoint_of, parse

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Published", "discard", "endpoint_of", "publish"]

RUN, LABEL = "_gatehouse_run", "_gatehouse_label"
_ROWS = 5_000  # of one INSERT: a few hundred kilobytes
_WHERE = "write_back"
_LOCK = 0x67617465  # "gate": the first half of our advisory locks

Mode = Literal["append", "replace", "upsert"]


@dataclass(frozen=True)
class Published:
    """What is in the table now.

    Attributes:
        rows: Rows of this run.
        repeated: An earlier attempt had published them.
    """

    rows: int
    repeated: bool


def publish(
    url: str,
    frame: pd.DataFrame,
    *,
    table: str,
    key: str,
    columns: Sequence[str],
    mode: Mode,
    run_id: str,
    plan_digest: str,
    rows_digest: str,
    label: str,
    data_class: str = "restricted",
) -> Published:
    """Writes a frame, once for a run.

    Args:
        url: SQLAlchemy URL; never repeated in an error.
        frame: One row a key.
        table: Target table; made if it is missing.
        key: Column that identifies a row.
        columns: The other columns, in order.
        mode: Whether rows are added, replace all, or replace those with the same key.
        run_id: Enters the receipt and every row.
        plan_digest: Enters the receipt.
        rows_digest: Of the rows as they left the workload.
        label: Whether a fallback backend answered.
        data_class: Of the rows; enters the receipt, so that whoever finds the table knows how to treat it.

    Raises:
        DataRefused: The frame or the table does not fit.
        StorageError: The database is full or read-only.
        Tampered: The run has published other rows before.
        Unavailable: The database does not answer.
    """
    names = [key, *columns]
    _check_frame(frame, key, names)
    with _database(url) as engine:
        meta = MetaData()
        frame = _plain_times(frame[names], zones=engine.dialect.name == "postgresql")
        staging = Table(_staging(run_id), meta, *(Column(name, _type(frame[name], name)) for name in names))
        receipts = _receipts(meta)
        rows = _records(frame)
        with _writing(engine) as connection:
            _ensure(connection, receipts)
            done = _receipt(connection, receipts, run_id, rows_digest)
        if done is not None:
            discard(url, run_id=run_id)
            return Published(done, repeated=True)
        try:
            _stage(engine, staging, rows)
            with _writing(engine, table) as connection:
                done = _receipt(connection, receipts, run_id, rows_digest)
                if done is not None:
                    return Published(done, repeated=True)
                _check_staged(connection, staging, key, rows)
                target = _target(connection, table, staging, key, mode)
                _move(connection, staging, target, key, mode, run_id, label)
                connection.execute(
                    insert(receipts).values(
                        run_id=run_id,
                        plan_digest=plan_digest,
                        target=table,
                        rows=len(rows),
                        rows_digest=rows_digest,
                        label=label,
                        at=time.time(),
                        data_class=data_class,
                    )
                )
            return Published(len(rows), repeated=False)
        finally:
            _drop(engine, staging)


def discard(url: str, *, run_id: str) -> int:
    """Drops the run's staging, if a process died and left it; 1 if there was one.

    Raises:
        Unavailable: The database does not answer.
    """
    with _database(url) as engine:
        return _drop(engine, Table(_staging(run_id), MetaData()))


def _staging(run_id: str) -> str:
    return "_gatehouse_stage_" + "".join(character for character in run_id if character.isalnum())[:32]


def _receipts(meta: MetaData) -> Table:
    return Table(
        "_gatehouse_receipts",
        meta,
        Column("run_id", String(64), primary_key=True),
        Column("plan_digest", String(64), nullable=False),
        Column("target", String(80), nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("rows_digest", String(64), nullable=False),
        Column("label", String(20), nullable=False),
        Column("at", Double, nullable=False),
        Column("data_class", String(20)),
    )


def _check_frame(frame: pd.DataFrame, key: str, names: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing or len(frame.columns) != len(names):
        raise DataRefused(f"the frame has not exactly the declared columns; missing: {missing}", where=_WHERE, advice="mend the workload")
    if frame.empty or frame[key].isna().any() or frame[key].duplicated().any():
        raise DataRefused("the frame is empty, or its key is null or repeated", where=f"{_WHERE} {key}", advice="return one row a key")
    if not {RUN, LABEL}.isdisjoint(names):
        raise DataRefused("a column has a name that Gatehouse keeps for its own", where=_WHERE, advice="rename the column")
    for name in names:
        if frame[name].dtype.kind == "f" and frame[name].map(lambda value: math.isinf(value)).any():
            raise DataRefused("a column holds numbers that are not finite", where=f"{_WHERE} {name}", advice="mend the workload")


def _plain_times(frame: pd.DataFrame, *, zones: bool) -> pd.DataFrame:
    """Times in microseconds, and those of a zone in UTC; a database that keeps no zones gets them without it."""
    changed: dict[str, pd.Series[Any]] = {}
    for name in frame.columns:
        if frame[name].dtype.kind == "M":
            series = frame[name].dt.as_unit("us")
            if series.dt.tz is not None:
                series = series.dt.tz_convert("UTC") if zones else series.dt.tz_convert("UTC").dt.tz_localize(None)
            changed[name] = series
    return frame.assign(**changed)


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows as Python's own values, null where there is none."""
    times = [name for name in frame.columns if frame[name].dtype.kind == "M"]
    rows = [{str(name): value for name, value in row.items()} for row in frame.astype(object).where(frame.notna(), None).to_dict("records")]
    for row in rows:
        for name in times:
            row[name] = row[name].to_pydatetime() if row[name] is not None else None
    return rows


def _type(series: pd.Series[Any], name: str) -> TypeEngine[Any]:
    times = DateTime(timezone=getattr(series.dtype, "tz", None) is not None)
    kinds: dict[str, TypeEngine[Any]] = {"b": Boolean(), "i": BigInteger(), "u": BigInteger(), "f": Double(), "M": times}
    found = kinds.get(series.dtype.kind)
    if found is not None:
        return found
    if series.dropna().map(lambda value: isinstance(value, str)).all():
        return Text()
    raise DataRefused("a column is neither number, truth value, time nor text", where=f"{_WHERE} {name}", advice="return plain columns")


@contextmanager
def _database(url: str) -> Iterator[Engine]:
    parsed = parse(url)
    try:
        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True)
        if engine.dialect.name == "sqlite":
            _as_sqlite(engine)
    except (SQLAlchemyError, ImportError):
        raise Unavailable("the database's driver is not installed", where=_WHERE, advice="install it, then resume the run") from None
    try:
        yield engine
    except GatehouseError:
        raise
    except (IntegrityError, DataError) as error:
        kind = type(error).__name__
        raise DataRefused(
            f"the table refuses the rows ({kind})", where=_WHERE, advice="compare the table's constraints with the output's columns"
        ) from None
    except (OverflowError, ValueError):  # some drivers raise Python's own for a value that they can't encode
        raise DataRefused("the database does not take a value", where=_WHERE, advice="return numbers of 64 bits and text that is Unicode") from None
    except SQLAlchemyError as error:
        text = str(getattr(error, "orig", "")).lower()
        if "full" in text or "readonly" in text or "read-only" in text or "no space" in text:
            raise StorageError(
                "the database is full or read-only", where=_WHERE, advice="make room or grant the right, then resume the run"
            ) from None
        raise Unavailable(
            f"the database can't be used ({type(error).__name__})", where=_WHERE, advice="check the database, then resume the run"
        ) from None
    finally:
        engine.dispose()


def _as_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _writing(engine: Engine, table: str = "") -> Iterator[Connection]:
    """A transaction that is alone with the table of that name among Gatehouse's own: two runs that create or fill it go one by one."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE lets one in anyway
            connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK << 32 | zlib.crc32(table.encode()), BigInteger()))))
        yield connection


def _ensure(connection: Connection, receipts: Table) -> None:
    """The table of receipts; one that an earlier version made gets the column that it lacks."""
    receipts.create(connection, checkfirst=True)
    if all(column["name"] != "data_class" for column in inspect(connection).get_columns(receipts.name)):
        quote = connection.dialect.identifier_preparer
        connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(receipts)} ADD COLUMN data_class VARCHAR(20)")


def _receipt(connection: Connection, receipts: Table, run_id: str, rows_digest: str) -> int | None:
    row = connection.execute(select(receipts.c.rows, receipts.c.rows_digest).where(receipts.c.run_id == run_id)).first()
    if row is None:
        return None
    if row.rows_digest != rows_digest:
        raise Tampered("the run has published other rows before", where=_WHERE, advice="run: gatehouse verify")
    return int(row.rows)


def _stage(engine: Engine, staging: Table, rows: list[dict[str, object]]) -> None:
    with _writing(engine, staging.name) as connection:
        connection.execute(DropTable(staging, if_exists=True))
        connection.execute(CreateTable(staging))
        for start in range(0, len(rows), _ROWS):
            connection.execute(insert(staging), rows[start : start + _ROWS])


def _check_staged(connection: Connection, staging: Table, key: str, rows: list[dict[str, object]]) -> None:
    """Every row is there as it was sent, once, and no other; nobody changes one until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {connection.dialect.identifier_preparer.format_table(staging)} IN SHARE MODE")
    sent = {row[key]: row for row in rows}
    with connection.execute(select(staging).execution_options(yield_per=_ROWS)) as found:
        differs = any(sent.pop(row[key], None) != dict(row) for row in found.mappings())
    if differs or sent:
        raise DataRefused("staging has not the rows that were sent", where=_WHERE, advice="look at the database, then start a new run")


def _target(connection: Connection, name: str, staging: Table, key: str, mode: Mode) -> Table:
    wanted = {column.name: column.type for column in staging.columns}
    if not inspect(connection).has_table(name):
        target = Table(
            name,
            MetaData(),
            *(
                # A database wants a bounded type under a unique key; PostgreSQL and SQLite take Text as well.
                Column(column, kind, nullable=column != key, unique=column == key and mode != "append")
                for column, kind in wanted.items()
            ),
            Column(RUN, String(64), nullable=False),
            Column(LABEL, String(20), nullable=False),
        )
        target.create(connection)
        return target
    target = Table(name, MetaData(), autoload_with=connection)
    missing = [column for column in (*wanted, RUN, LABEL) if column not in target.columns]
    unfit = [column for column, kind in wanted.items() if column in target.columns and not _fits(kind, target.columns[column].type)]
    if missing or unfit:
        raise DataRefused(
            f"the table {name} does not fit: missing columns {missing}, other types {unfit}", where=_WHERE, advice="alter the table or name another"
        )
    return target


def _fits(ours: TypeEngine[Any], theirs: TypeEngine[Any]) -> bool:
    """Whether a value of ours can go into theirs without being changed."""
    order: dict[type[object], tuple[type[object], ...]] = {
        str: (str,),
        bool: (bool, int),
        int: (int, float),
        float: (float,),
    }
    if isinstance(ours, DateTime):
        return isinstance(theirs, DateTime) and ours.timezone == theirs.timezone
    try:
        mine, other = ours.python_type, theirs.python_type
    except NotImplementedError:
        return False
    if isinstance(ours, BigInteger) and isinstance(theirs, Integer):
        return True
    return other in order.get(mine, (mine,)) or (mine in (int, float) and other.__name__ == "Decimal")


def _move(connection: Connection, staging: Table, target: Table, key: str, mode: Mode, run_id: str, label: str) -> None:
    names = [column.name for column in staging.columns]
    if mode == "replace":
        connection.execute(delete(target))
    elif mode == "upsert":
        connection.execute(delete(target).where(target.c[key].in_(select(staging.c[key]))))
    rows = select(*(staging.c[name] for name in names), literal(run_id), literal(label))
    connection.execute(insert(target).from_select([*names, RUN, LABEL], rows))


def _drop(engine: Engine, staging: Table) -> int:
    with _writing(engine, staging.name) as connection:
        there = inspect(connection).has_table(staging.name)
        if there:
            connection.execute(DropTable(staging, if_exists=True))
        return int(there)
