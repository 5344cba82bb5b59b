"""The image service: its models, errors, wire format, flows and HTTP client. Imports no Airflow."""
