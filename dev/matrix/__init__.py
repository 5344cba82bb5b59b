"""The compatibility matrix: each supported Airflow and Python as of its own time (``make matrix``)."""
