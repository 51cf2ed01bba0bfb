"""Atlases served to other programs."""
