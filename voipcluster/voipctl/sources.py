"""Tables of other servers: a CSV file with a line of column names, or a table of a database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from voipcluster.errors import UsageError


def rows_of_database(
    url: str, option: str, name: str, needed: Collection[str], wanted: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """
    The rows of one table, each with its place.

    @param url: of SQLAlchemy; C{option}: which named it.
    @param needed: columns that must be there, C{wanted}: those that are read as far as they are there.
    @raise UsageError: one line, without the password of the URL.
    """
    # imported late: SQLAlchemy takes longer to import than all other commands take altogether
    from sqlalchemy import MetaData, Table, create_engine, select  # noqa: PLC0415 - see above
    from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError  # noqa: PLC0415 - see above

    try:
        engine = create_engine(url)
        shown = engine.url.render_as_string(hide_password=True)
    except (ArgumentError, ModuleNotFoundError, ValueError) as error:
        scheme = url.partition("://")[0]
        raise UsageError(f"{option}: {scheme}://: {str(error).splitlines()[0]}") from None
    try:
        table = Table(name, MetaData(), autoload_with=engine)
        missing = [column for column in needed if column not in table.c]
        if missing:
            raise UsageError(f"{shown}: table {name} has no column {', '.join(missing)}")
        names = [column for column in wanted if column in table.c]
        with engine.connect() as connection:
            for number, row in enumerate(connection.execute(select(*(table.c[one] for one in names))), 1):
                values = {one: row._mapping[one] for one in names}
                yield (
                    f"{shown}: row {number}",
                    {one: "" if value is None else value for one, value in values.items()},
                )
    except NoSuchTableError:
        raise UsageError(f"{shown}: there is no table {name}") from None
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise UsageError(f"{shown}: {' '.join(str(cause).split())[:200]}") from None
    finally:
        engine.dispose()
