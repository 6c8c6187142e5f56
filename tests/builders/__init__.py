"""Builders that tests share: small runs, pictures and networks."""
