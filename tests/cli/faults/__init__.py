"""Small targets that break, hang, flood or lie, one a line of a table: each is checked between two sound models."""
