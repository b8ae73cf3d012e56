"""What came after a snapshot: what differs, whose doing it is, what a restore would lose, and putting it back."""
