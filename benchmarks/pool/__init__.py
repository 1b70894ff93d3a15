"""Whether the pool's supervisor loses a job, a registration or a second, whatever befalls it."""
