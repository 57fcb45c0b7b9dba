"""What the commands do, one file each; none knows click, and none imports torch."""
