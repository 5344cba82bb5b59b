"""The compatibility matrix: every supported Airflow and Python, each as of its own time (``make matrix``)."""
