"""What a program with agents learns from their outcomes while it runs: which agent to choose, and what others said of them."""
