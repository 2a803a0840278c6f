"""A photograph becomes a finished folder."""
