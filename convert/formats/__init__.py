"""Describes the kinds of network files, each by a table of names."""
