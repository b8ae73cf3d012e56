"""The engines that compare members: DuckDB on this machine, or Spark on one or many machines.

Every query is written once, in DuckDB's SQL; Spark is given the translation. The functions that both have are enough, and
decimal numbers are written with an exponent, so that they are floating-point numbers on either.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from os import cpu_count, environ
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from workbench.errors import UsageError, unknown

if TYPE_CHECKING:
    from pyarrow import Table

_MEMORY = "2GB"  # DuckDB spills the rest to disk


def read_queries(file: str) -> dict[str, str]:
    """Return the queries of an SQL file of this package, each headed by its name: ``-- [name]``."""
    text = files("workbench.duplicates.matching").joinpath(file).read_text(encoding="utf-8")
    parts = re.split(r"^-- \[(.+)\]$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class DuckDB:
    """DuckDB in this process."""

    def __init__(self, folder: str, threads: int | None = None) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'; SET preserve_insertion_order = false")
        self.connection.execute("SET temp_directory = ?", [folder])
        if threads is not None:
            self.connection.execute(f"SET threads = {int(threads)}")

    def sql(self, text: str) -> str:
        """Translate DuckDB's SQL to this engine's dialect."""
        return text

    def load(self, name: str, file: str) -> None:
        """Load a Parquet file as a table and delete the file, so that a killed process leaves no personal data."""
        self.table(name, f"SELECT * FROM read_parquet('{file}')")
        Path(file).unlink()

    def table(self, name: str, query: str) -> None:
        """Create a table from a query."""
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")

    def rows(self, query: str) -> Table:
        """Return a query's rows."""
        return self.connection.sql(query).to_arrow_table()

    def splink(self) -> Any:
        """Return Splink's API object for this engine."""
        from splink import DuckDBAPI

        return DuckDBAPI(connection=self.connection)


class Spark:
    """A Spark session with Splink's functions for text similarity."""

    def __init__(self, folder: str, master: str | None = None) -> None:
        if not shutil.which("java") and not environ.get("JAVA_HOME"):
            raise UsageError(
                "Spark needs Java 17 or later, which is not here.",
                "On Debian: apt install openjdk-17-jre-headless.",
            )
        with catch_warnings():
            simplefilter(
                "ignore", FutureWarning
            )  # Spark is not tested with pandas 3, but exchanges no frames with it
            try:
                from pyspark.sql import SparkSession
            except ModuleNotFoundError as error:
                raise UsageError(
                    "pyspark is not installed.",
                    "Install the extra: pip install 'murmurant-workbench[spark]'.",
                ) from error
            from splink.internals.spark.jar_location import similarity_jar_location

            options = {
                "spark.jars": similarity_jar_location(),
                "spark.driver.memory": "2g",
                "spark.log.level": "ERROR",
                "spark.local.dir": folder,
                "spark.sql.ansi.enabled": "false",  # division by zero gives NULL, as in DuckDB
                # The generated Java code of the comparisons would be too long for whole-stage code generation.
                "spark.sql.codegen.wholeStage": "false",
                "spark.sql.warehouse.dir": folder,
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
            }
            if master is None or master.startswith("local"):
                # One machine needs one partition per processor and no adaptive plans.
                options |= {
                    "spark.sql.shuffle.partitions": str(cpu_count()),
                    "spark.sql.adaptive.enabled": "false",
                }
            builder = SparkSession.builder.appName("murmurant-workbench").master(master or "local[*]")
            self.session = builder.config(map=options).getOrCreate()
            from splink import SparkAPI

            SparkAPI(spark_session=self.session)  # registers Splink's functions in the session
        self.session.sql(read_queries("spark.sql")["jarowinkler_similarity"])

    def sql(self, text: str) -> str:
        """Translate DuckDB's SQL to this engine's dialect."""
        import sqlglot

        (translated,) = sqlglot.transpile(text, read="duckdb", write="spark")
        return translated.replace("HASH(", "XXHASH64(")

    def load(self, name: str, file: str) -> None:
        """Create a view of a Parquet file; the file is read whenever the view is."""
        self.session.read.parquet(file).createOrReplaceTempView(name)

    def table(self, name: str, query: str) -> None:
        """Create a table from a query."""
        rows = self.session.sql(self.sql(query))
        rows.localCheckpoint().createOrReplaceTempView(name)

    def rows(self, query: str) -> Table:
        """Return a query's rows."""
        return self.session.sql(self.sql(query)).toArrow()

    def splink(self) -> Any:
        """Return Splink's API object for this engine."""
        from splink import SparkAPI

        return SparkAPI(
            spark_session=self.session, break_lineage_method="persist", register_udfs_automatically=False
        )


Engine = DuckDB | Spark


@contextmanager
def engine(name: str, master: str | None = None, threads: int | None = None) -> Iterator[tuple[Engine, str]]:
    """Open an engine, and a temporary folder for the members' files.

    Parameters
    ----------
    name : {"duckdb", "spark"}
        Which one.
    master : str, optional
        Spark's address; else this machine with all its processors.
    threads : int, optional
        Of DuckDB; else one for each processor.

    Raises
    ------
    UsageError
        For another name, or where Spark or its Java is not installed.
    """
    with TemporaryDirectory(prefix="workbench-matching-") as folder:
        if name == "duckdb":
            duck = DuckDB(folder, threads)
            with duck.connection:
                yield duck, folder
        elif name == "spark":
            spark = Spark(folder, master)
            try:
                yield spark, folder
            finally:
                spark.session.stop()
        else:
            raise unknown("engine", name, ("duckdb", "spark"))
