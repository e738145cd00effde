"""Model folders: find, check, download, load, quantize."""
