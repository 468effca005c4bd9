"""Installation of Tally: registration, deployment and rights; local services, sample data and the demo."""
