"""What the archive process does when asked: a module per subject, all found by themselves."""
