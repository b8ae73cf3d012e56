"""Import runs: what one did, and how it is rolled back without losing anyone's work."""
