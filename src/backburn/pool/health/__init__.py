"""What a GPU says of itself: looked at before each job and after it, in a process of its own, and judged by a table."""
