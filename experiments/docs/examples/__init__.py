"""Worked examples of the library; each file stands by itself."""
