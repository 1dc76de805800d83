"""Closes a marketplace's week."""
