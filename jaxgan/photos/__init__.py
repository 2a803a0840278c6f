"""Photographs: files, faces, their alignment, and pasting them back."""
