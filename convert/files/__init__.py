"""Containers of arrays, read and written."""
