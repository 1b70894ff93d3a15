"""A wing: the supervisor that gives each GPU of one machine single-use GitHub runners, and never loses a job."""
