"""A club's members made by hand, for one comparison at a time."""

from __future__ import annotations

from datetime import date

from benchmarks.another_club import Row

GIVEN = ("Anna", "Peter", "James", "Mary", "Laura", "Kevin", "Susan", "Paul", "Ruth", "George")
FAMILY = (
    "Smith",
    "Johnson",
    "Garcia",
    "Miller",
    "Davis",
    "Lopez",
    "Wilson",
    "Moore",
    "Clark",
    "Young",
    "Hall",
)


def strangers(count: int = 400) -> list[Row]:
    """People who share nothing but now and then a name."""
    return [
        Row(
            f"m{number:04d}",
            GIVEN[number % 10],
            FAMILY[number % 11],
            f"somebody{number}@example.org",
            f"80{number * 7919 % 10**6:06d}{number % 100:02d}",
            date(2000 + number % 20, 1 + number % 12, 1 + number % 28),
        )
        for number in range(count)
    ]


ONE = Row("x1", "Robert", "Quist", "robert.quist@example.org", "8053471234", date(2020, 5, 6))
