"""A Murmurant club made from nothing, and each way of breaking it (guide, §1)."""

from workbench.demo.club import Club, build_club

__all__ = ["Club", "build_club"]
