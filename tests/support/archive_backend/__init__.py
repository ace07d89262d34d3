"""The backend of the archive in tests: see base."""
