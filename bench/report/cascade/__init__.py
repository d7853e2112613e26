"""The cascade of the threat model `adaptive`: what each member tried, broke and cost."""
