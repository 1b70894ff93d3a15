"""CPU seconds that the pytest plugin takes of a session that uses none of it."""
