"""Mappings of Wild Apricot ids to records: their correction (guide §4.2)."""
