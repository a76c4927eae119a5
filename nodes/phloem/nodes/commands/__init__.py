"""What the nodes and their services add to the command line."""
