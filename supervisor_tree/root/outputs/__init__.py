"""What workers and runs have written: followed line by line as it comes, and read back."""
