"""The API page: built from the docstrings, with worked examples."""
