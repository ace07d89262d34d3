"""Taking secrets and names out of transcripts: rules, the pure function that applies them, profiles."""
