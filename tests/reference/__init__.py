"""Slow obvious versions of what the core computes, and the numbers of other programs."""
