"""Reads photographs, finds and aligns faces in them, and puts restored faces back."""
