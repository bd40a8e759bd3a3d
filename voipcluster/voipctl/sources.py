"""Tables of other servers: a CSV file with a line of column names, or a table of a database."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from configparser import Error as OptionFileError
from typing import TYPE_CHECKING, Any, Final

from voipcluster.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

# by what a URL begins with, with the driver that this package names, where it names none
DRIVERS: Final = {
    "mysql": ("mysql+pymysql", "PyMySQL", "mysql"),
    "mariadb": ("mariadb+pymysql", "PyMySQL", "mysql"),
    "postgresql": ("postgresql+psycopg", "psycopg", "postgresql"),
}
CONNECT_TIMEOUT = 10  # s


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
    from sqlalchemy import MetaData, Table, select  # noqa: PLC0415 - see above
    from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError  # noqa: PLC0415 - see above

    engine = _engine(url, option)
    # without its options, among which there may be a password, too
    shown = engine.url.set(query={}).render_as_string(hide_password=True)
    try:
        table = Table(name, MetaData(), autoload_with=engine, resolve_fks=False)
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
        raise UsageError(f"{shown}: {_cause(error)}") from None
    except OSError as error:  # a file that the URL names, as of a password
        file = f"{error.filename}: " if error.filename else ""
        raise UsageError(f"{shown}: {file}{error.strerror or error}") from None
    except OptionFileError as error:  # its text has the line, and in that there may be a password
        raise UsageError(f"{shown}: {_place(error)}: not a file of options") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown}: a text or file of it is not UTF-8") from None
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"{shown}: the driver does not take its options: {_cause(error)}") from None
    finally:
        engine.dispose()


def _engine(url: str, option: str) -> Engine:
    """@raise UsageError: no such URL, or its driver is not installed."""
    # imported late, as above
    from sqlalchemy import create_engine, make_url  # noqa: PLC0415 - see above
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - see above

    scheme = url.partition("://")[0]
    driver, package, extra = DRIVERS.get(scheme.partition("+")[0], ("", "", ""))
    if url.partition("?")[0].count("@") > 1:
        raise UsageError(f"{option}: {scheme}://: an @ that is part of a name or password is written %40")
    try:
        made = make_url(url)
    except ValueError:  # its text may have some of a password
        raise UsageError(f"{option}: {scheme}://: the port is no number") from None
    except ArgumentError as error:
        raise UsageError(f"{option}: {scheme}://: {_cause(error)}") from None
    try:
        if scheme in DRIVERS:
            made = made.set(drivername=driver)
        ours = made.drivername == driver
        return create_engine(made, connect_args={"connect_timeout": CONNECT_TIMEOUT} if ours else {})
    except ModuleNotFoundError as error:
        if driver and made.drivername == driver:
            remedy = f"{sys.executable} -m pip install 'voipcluster[{extra}]'"
            raise UsageError(
                f"{option}: {scheme}:// needs {package}, which is not installed: {remedy}"
            ) from None
        raise UsageError(f"{option}: {scheme}://: {error}") from None
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"{option}: {scheme}://: {_cause(error)}") from None


def _place(error: OptionFileError) -> str:
    """File and line, as far as it tells."""
    lines = [number for number, _ in getattr(error, "errors", ())] or [getattr(error, "lineno", "")]
    return f"{getattr(error, 'source', '')}:{lines[0]}"


def _cause(error: Exception) -> str:
    """In one line; PyMySQL's errors are a number and a text."""
    cause = getattr(error, "orig", None) or error
    number, *texts = cause.args or ("",)
    text = str(texts[0]) if isinstance(number, int) and len(texts) == 1 else str(cause)
    return " ".join(text.split())[:200]
