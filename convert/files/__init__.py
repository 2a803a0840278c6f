"""Reads and writes containers of arrays."""
