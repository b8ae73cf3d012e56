"""Reports: an executed notebook, a page that needs nothing else, and a verdict for machines."""
