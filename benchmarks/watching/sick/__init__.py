"""Sick trainings, and what is wrong with each."""
