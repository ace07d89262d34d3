"""The sandbox attacked on the owner's own engine: sixty-two rows, each with what must come of it."""
