"""From a critique and the last prompt to the next prompt."""
