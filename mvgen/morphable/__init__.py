"""The linear face model: its topology, how it is made, and how it is fitted to landmarks."""
