"""What can be read about jobs without changing them."""
