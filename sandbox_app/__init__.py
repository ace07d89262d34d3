"""Tools in a sandbox: what can be run, what ran, and the record of it that cannot lie."""
