"""The pictures in Airflow's own pages: a plugin for Airflow 3.1.1 and newer."""
