"""Executors of the job queue: worker processes on this machine, or actors of a Ray cluster."""
