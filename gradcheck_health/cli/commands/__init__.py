"""What the commands do, one file each; none declares an option, and none imports torch."""
