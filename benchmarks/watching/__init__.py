"""Short real trainings, sound and sick, watched: what is reported, when, at what cost, and that nothing changes."""
