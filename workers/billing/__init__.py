"""What stands between Stripe, the browser and the database. Entry points are in `workers/main.py`."""
