"""What Wild Apricot exports of a club, written from the club's own database."""

from __future__ import annotations

import csv
from pathlib import Path

import psycopg

MEMBERS = (
    "User ID,First name,Last name,e-Mail,Phone,Member since,Membership level,Profile last updated,Archived"
)
EVENTS = "Event ID,Event title,Start date,End date,Registration limit"
REGISTRATIONS = "Registration ID,User ID,Event ID,Registration status"


class Exported(dict[str, list[list[str]]]):
    """What Wild Apricot exports of the club in a database: a header and rows for each kind."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            column = "SELECT column_name FROM information_schema.columns WHERE table_name = "
            names = {name for (name,) in connection.execute(f"{column}'WaIdMapping'")}
            tables = {
                name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables")
            }
            of_members = {name for (name,) in connection.execute(f"{column}'Member'")}
            self.target = "murmurantId" if "murmurantId" in names else "clubosId"
            self.table = "Registration" if "Registration" in tables else "EventRegistration"
            level = next(each for each in ("waMembershipLevelRaw", "membershipLevel") if each in of_members)
            who = f"""SELECT DISTINCT ON ("{self.target}") "waId"::text AS wa_id, "{self.target}"::text AS id FROM "WaIdMapping" WHERE "entityType" = """
            once = f"""ORDER BY "{self.target}", "waId" """
            form = "MM/DD/YYYY HH24:MI"
            asked = {
                MEMBERS: f"""SELECT w.wa_id, "firstName", "lastName", email, phone, to_char("joinedAt", 'MM/DD/YYYY'), "{level}",
                    '12/01/2025 10:00', 'no' FROM "Member" p JOIN ({who} 'Member' {once}) w ON w.id = p.id::text ORDER BY 1""",
                EVENTS: f"""SELECT w.wa_id, title, to_char("startTime", '{form}'), to_char("endTime", '{form}'), capacity
                    FROM "Event" e JOIN ({who} 'Event' {once}) w ON w.id = e.id::text ORDER BY 1""",
                REGISTRATIONS: f"""SELECT r.wa_id, w.wa_id, e.wa_id, initcap(replace(t.status::text, '_', ' ')) FROM "{self.table}" t
                    JOIN ({who} '{self.table}' {once}) r ON r.id = t.id::text
                    JOIN ({who} 'Member' {once}) w ON w.id = t."memberId"::text
                    JOIN ({who} 'Event' {once}) e ON e.id = t."eventId"::text ORDER BY 1""",
            }
            for header, statement in asked.items():
                rows = [
                    ["" if cell is None else str(cell) for cell in row]
                    for row in connection.execute(statement)
                ]
                self[header.split(",")[0].split()[0]] = [header.split(","), *rows]

    def save(self, folder: Path, **how: str) -> Path:
        folder.mkdir(exist_ok=True)
        for kind, rows in self.items():
            path = folder / f"{kind}.csv"
            with path.open("w", newline="", encoding=how.get("encoding", "utf-8-sig")) as file:
                csv.writer(file, delimiter=how.get("separator", ",")).writerows(rows)
        return folder
