"""Wild Apricot ids that lead to the wrong record, or nowhere: found, scored, and told in words (guide §1.2)."""
