"""Connections and transactions, the environment guard, and the embedded server."""
