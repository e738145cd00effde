"""What several nodes share: sockets, inputs, memory, display, the loop's context."""
