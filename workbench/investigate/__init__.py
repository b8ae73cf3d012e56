"""Questions to the database: arguments in, a frame out, nothing written."""
