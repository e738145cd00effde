"""Free text to a judgement: reads what is certain and calls the rest missing."""
