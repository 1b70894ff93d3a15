"""Stand-ins for what is outside, in virtual time: GitHub's runner service, a container engine."""
