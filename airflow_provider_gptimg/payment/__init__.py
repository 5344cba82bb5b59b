"""The promise: who has paid for what, and whether to pay again. Does not import Airflow."""
