"""Model folders: find, check, download and load them, in any precision."""
