"""Arguments for constructors that nobody gave: likely values by annotation, name and the classes beside them."""
