"""Speed, as ratios to the alternative in the same run: ``make bench``."""

from pathlib import Path

from workbench.database.databases import embedded_database
from workbench.database.embedded import start_server


def embedded_url(data: Path, name: str) -> str:
    """Return the URL of a database of the embedded server, which is made when it is not there."""
    embedded_database(data, name)
    return start_server(data).get_uri(name)
