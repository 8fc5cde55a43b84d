"""What the networks are asked for (targets), and how far off they are (losses)."""
