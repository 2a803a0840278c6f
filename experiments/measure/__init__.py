"""Measurements of restorations, and tables of them."""
