"""The ways to run a critic, and what is written once over all of them."""
