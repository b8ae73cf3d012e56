"""Speed, as ratios to the alternative in the same run: ``make bench``."""
