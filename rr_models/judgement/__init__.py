"""What a judgement is: aspects, tasks, critiques, verdicts, thresholds and rankings. Pure data."""
