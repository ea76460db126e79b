"""What makes a view of a clip: its colour, its motion, and how much of the attention it sees."""
