"""From a record to what a page shows of it. Pure: no Django, no database; templates draw the parts."""
