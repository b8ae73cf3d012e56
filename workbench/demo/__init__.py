"""A generated Murmurant club, and every failure of the guide (§1) to plant in it."""

from workbench.demo.club import Club, build_club

__all__ = ["Club", "build_club"]
