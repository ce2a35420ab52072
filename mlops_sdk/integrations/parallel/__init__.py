"""Sweeps: a child run for every point of a grid, on any joblib backend."""
