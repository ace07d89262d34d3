"""Weights and images on one node: what lies there, getting it ahead, deleting it. No ORM, no Django."""
