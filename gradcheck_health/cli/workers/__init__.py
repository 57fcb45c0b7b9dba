"""The processes in which the command line checks: a fork server, one worker a target, and the supervisor that times it."""
