"""What a model says without being run: signature, first use of an argument, sizes in attributes, written shapes."""
