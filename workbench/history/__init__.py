"""Changes since a snapshot: the differences, their authors, what a restore would lose, and putting it back."""
