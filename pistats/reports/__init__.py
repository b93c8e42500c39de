"""Reports: one function for each, used by the query API, the dashboard and the command line alike."""
