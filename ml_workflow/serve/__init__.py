"""The API over a registered release, and what it is made of."""
