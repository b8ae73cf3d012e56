"""What Murmurant looks like: its tables in either dialect, its references, its importers' traces."""
