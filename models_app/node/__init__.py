"""What the agent does with our containers on one node. No ORM, no Django."""
