"""Whether this Airflow shows pages of plugins."""

from airflow.plugins_manager import AirflowPlugin

HAS_PLUGIN_PAGES = hasattr(AirflowPlugin, "external_views")
"""Airflow 3.1 and newer do. 3.1.0 does not tell a plugin who the viewer is; there the pages say so."""
