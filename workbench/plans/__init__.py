"""Plans: what will be changed, its approval, the one act that changes it, what that did, and the way back."""
