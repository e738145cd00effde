"""A critique and the last prompt to the next prompt."""
