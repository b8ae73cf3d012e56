"""Planners: each turns what an investigation found into a plan. None of them can apply one."""
