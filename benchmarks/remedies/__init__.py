"""Do the cures that are suggested make models sound, and do those that did not learn learn with them?"""
