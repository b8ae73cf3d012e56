"""Where members are compared: in DuckDB on this machine, or on Spark, which may be many machines.

Every query is written once, in DuckDB's SQL; Spark is given the translation. The functions that both have are enough, and
decimal numbers are written with an exponent, so that they are floating-point numbers on either.
"""

from __future__ import annotations

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

_MEMORY = "2GB"  # what does not fit is spilt to disk


class DuckDB:
    """DuckDB within this process."""

    def __init__(self, folder: str, threads: int | None = None) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'; SET preserve_insertion_order = false")
        self.connection.execute("SET temp_directory = ?", [folder])
        if threads is not None:
            self.connection.execute(f"SET threads = {int(threads)}")

    def sql(self, text: str) -> str:
        """Return DuckDB's SQL as this engine has it."""
        return text

    def load(self, name: str, file: str) -> None:
        """Make a table of a Parquet file, which is gone then: whoever is killed leaves no people behind."""
        self.table(name, f"SELECT * FROM read_parquet('{file}')")
        Path(file).unlink()

    def table(self, name: str, query: str) -> None:
        """Make a table of a query's rows."""
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")

    def rows(self, query: str) -> Table:
        """Return a query's rows."""
        return self.connection.sql(query).to_arrow_table()

    def splink(self) -> Any:
        """Return Splink's interface to this engine."""
        from splink import DuckDBAPI

        return DuckDBAPI(connection=self.connection)


class Spark:
    """A Spark session with Splink's functions for the likeness of texts."""

    def __init__(self, folder: str, master: str | None = None) -> None:
        if not shutil.which("java") and not environ.get("JAVA_HOME"):
            raise UsageError(
                "Spark needs Java 17 or later, which is not here.",
                "On Debian: apt install openjdk-17-jre-headless.",
            )
        with catch_warnings():
            simplefilter(
                "ignore", FutureWarning
            )  # Spark has not been tried with pandas 3; no frame passes between them
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
                "spark.sql.ansi.enabled": "false",  # as in DuckDB, what is divided by nothing is nothing
                # Of comparisons as long as the model's no Java is made in whole stages: it would be too long.
                "spark.sql.codegen.wholeStage": "false",
                "spark.sql.warehouse.dir": folder,
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
            }
            if master is None or master.startswith("local"):
                # One machine needs no more portions than processors, nor plans that change on the way.
                options |= {
                    "spark.sql.shuffle.partitions": str(cpu_count()),
                    "spark.sql.adaptive.enabled": "false",
                }
            builder = SparkSession.builder.appName("murmurant-workbench").master(master or "local[*]")
            self.session = builder.config(map=options).getOrCreate()
            from splink import SparkAPI

            SparkAPI(spark_session=self.session)  # makes Splink's functions known to the session
        likeness = files("workbench.duplicates.matching").joinpath("spark.sql")
        self.session.sql(likeness.read_text(encoding="utf-8"))

    def sql(self, text: str) -> str:
        """Return DuckDB's SQL as this engine has it."""
        import sqlglot

        (translated,) = sqlglot.transpile(text, read="duckdb", write="spark")
        return translated.replace("HASH(", "XXHASH64(")

    def load(self, name: str, file: str) -> None:
        """Make a table of a Parquet file, which is read as often as the table is."""
        self.session.read.parquet(file).createOrReplaceTempView(name)

    def table(self, name: str, query: str) -> None:
        """Make a table of a query's rows."""
        rows = self.session.sql(self.sql(query))
        rows.localCheckpoint().createOrReplaceTempView(name)

    def rows(self, query: str) -> Table:
        """Return a query's rows."""
        return self.session.sql(self.sql(query)).toArrow()

    def splink(self) -> Any:
        """Return Splink's interface to this engine."""
        from splink import SparkAPI

        return SparkAPI(
            spark_session=self.session, break_lineage_method="persist", register_udfs_automatically=False
        )


Engine = DuckDB | Spark


@contextmanager
def engine(name: str, master: str | None = None, threads: int | None = None) -> Iterator[tuple[Engine, str]]:
    """Open an engine, and a folder for the members' files, which is gone at the end.

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
