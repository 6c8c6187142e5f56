"""A guard against unmarked use of weights, browsers and clusters, in a test and its child processes."""
