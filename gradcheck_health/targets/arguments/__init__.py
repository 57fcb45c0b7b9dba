"""Arguments for constructors that were not given: likely values by annotation, name and the classes beside them."""
