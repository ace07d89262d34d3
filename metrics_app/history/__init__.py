"""Two years of figures: what is kept of reports, how it is packed, and how charts read it."""
