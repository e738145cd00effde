"""Critiques on disk: image metadata, JSON, append-only logs."""
