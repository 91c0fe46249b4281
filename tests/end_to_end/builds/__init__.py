"""Builds of one program, as workers of different days have them."""
