"""Names, models, training and evaluation."""
