"""Faster evaluators with the same answer: each is tested against `evaluate.autograd_evaluator`."""
