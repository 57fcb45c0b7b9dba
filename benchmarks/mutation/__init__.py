"""Do the tests notice when the code is wrong? Small faults planted in it, one at a time."""
