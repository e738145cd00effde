"""Commands of the command line, one module each: `add` tells argparse of it."""
